<?php

// Symfony's Mercure component, Debian's package, as a publisher: each field arrives as it was given.

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
$token = getenv('TOKEN');
$topic = 'https://example.com/symfony/'.getmypid();
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
$query = http_build_query(['topic' => $topic, 'lastEventID' => 'earliest']);
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
echo "php-symfony-mercure: passed\n";
