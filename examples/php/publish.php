<?php

// Publishes an update, and prints its id.
// HUB=http://localhost:3000/.well-known/mercure TOKEN=… php publish.php https://example.com/books/1 '{"stock": 3}'

require __DIR__.'/autoload.php';

use Symfony\Component\Mercure\Hub;
use Symfony\Component\Mercure\Jwt\StaticTokenProvider;
use Symfony\Component\Mercure\Update;

$hub = new Hub(getenv('HUB'), new StaticTokenProvider(getenv('TOKEN')));
echo $hub->publish(new Update($argv[1], $argv[2])), "\n";
