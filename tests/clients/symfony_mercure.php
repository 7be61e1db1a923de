<?php

// Symfony's Mercure component, Debian's package, as a publisher: each field arrives as it was given.
// With PARAMETER=match, by Mercure 1.0: this version, 0.6, publishes as the later ones do, but makes no
// tokens of 1.0. So the script makes one of the form that they make (MERCURE-1.0, section 7.5): times
// with fractions, an entry for each action, no type for an exact topic.

require 'Symfony/Component/Mercure/autoload.php';
require 'Symfony/Component/HttpClient/autoload.php';

use Symfony\Component\HttpClient\Chunk\ServerSentEvent;
use Symfony\Component\HttpClient\EventSourceHttpClient;
use Symfony\Component\HttpClient\HttpClient;
use Symfony\Component\Mercure\Exception\RuntimeException;
use Symfony\Component\Mercure\Hub;
use Symfony\Component\Mercure\Jwt\StaticTokenProvider;
use Symfony\Component\Mercure\Update;

$url = getenv('HUB');
$parameter = getenv('PARAMETER') ?: 'topic';
$cursor = 'topic' === $parameter ? 'lastEventID' : 'last_event_id';
$topic = 'https://example.com/symfony/'.getmypid();
$token = 'topic' === $parameter ? getenv('TOKEN') : access_token($url, [
    ['publish', [['match' => '*']]],
    ['subscribe', [
        ['match' => 'https://example.com/canonical'],
        ['match' => 'https://example.com/symfony/:id', 'match_type' => 'urlpattern'],
    ]],
]);
$hub = new Hub($url, new StaticTokenProvider($token));

$updates = [
    new Update($topic, "two\nlines"),
    new Update(['https://example.com/canonical', $topic], 'Zażółć 🦀 & more'),
    new Update($topic, 'secret', true),
    new Update($topic, '{"a": [1, 2]}', true, "$topic#4", 'kind', 1500),
];
$expected = [];
foreach ($updates as $update) {
    $id = $hub->publish($update);
    $expected[] = [$id, $update->getType() ?? 'message', $update->getData(), ($update->getRetry() ?? 0) / 1000];
}
if ("$topic#4" !== $expected[3][0]) {
    throw new Exception("the id became {$expected[3][0]}");
}
try {
    (new Hub($url, new StaticTokenProvider('a.b.c')))->publish($updates[0]);
    throw new Exception('a token of nobody publishes');
} catch (RuntimeException) {
}

$client = new EventSourceHttpClient(HttpClient::create());
$query = http_build_query([$parameter => $topic, $cursor => 'earliest']);
$source = $client->connect("$url?$query", ['auth_bearer' => $token]);
$received = [];
foreach ($client->stream($source, 10) as $chunk) {
    if ($chunk->isTimeout()) {
        throw new Exception('only '.count($received).' of '.count($expected).' updates arrive');
    }
    if ($chunk instanceof ServerSentEvent) {
        $received[] = [$chunk->getId(), $chunk->getType(), $chunk->getData(), $chunk->getRetry()];
        if (count($received) === count($expected)) {
            break;
        }
    }
}
$source->cancel();
if ($received != $expected) {
    throw new Exception(json_encode([$received, $expected]));
}
echo "php-symfony-mercure, $parameter: passed\n";

function access_token(string $hub, array $grants): string
{
    $type = 'https://mercure.rocks/authorization-detail';
    $encode = fn (string $part) => rtrim(strtr(base64_encode($part), '+/', '-_'), '=');
    $now = microtime(true);
    $claims = [
        'exp' => $now + 3600,
        'iss' => getenv('ISSUER'),
        'aud' => [$hub],
        'sub' => 'petasos',
        'client_id' => 'petasos',
        'authorization_details' => array_map(fn ($grant) => ['type' => $type, 'actions' => [$grant[0]], 'topics' => $grant[1]], $grants),
        'iat' => $now - 1,
        'jti' => bin2hex(random_bytes(16)),
    ];
    $signed = $encode(json_encode(['typ' => 'at+jwt', 'alg' => 'HS256'])).'.'.$encode(json_encode($claims, JSON_UNESCAPED_SLASHES));

    return $signed.'.'.$encode(hash_hmac('sha256', $signed, getenv('ISSUER_KEY'), true));
}
