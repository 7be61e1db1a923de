<?php

// Makes an access token of Mercure 1.0 that is valid for an hour, and prints it. In examples/, with HUB, ISSUER and ISSUER_KEY as
// README.md sets them:
// $ php php/access_token.php

$type = 'https://mercure.rocks/authorization-detail';
$claims = [
    'iss' => getenv('ISSUER'),
    // The hub's PUBLIC_URL.
    'aud' => getenv('HUB'),
    'iat' => time(),
    'exp' => time() + 3600,
    'authorization_details' => [
        ['type' => $type, 'actions' => ['publish'], 'topics' => [['match' => '*']]],
        ['type' => $type, 'actions' => ['subscribe'], 'topics' => [['match' => 'https://example.com/books/:id', 'match_type' => 'urlpattern']]],
    ],
];

$encode = fn (string $part) => rtrim(strtr(base64_encode($part), '+/', '-_'), '=');
// Without this `typ`, the hub takes the token for one of Mercure 0.x.
$signed = $encode(json_encode(['typ' => 'at+jwt', 'alg' => 'HS256'])).'.'.$encode(json_encode($claims));
echo $signed, '.', $encode(hash_hmac('sha256', $signed, getenv('ISSUER_KEY'), true)), "\n";
