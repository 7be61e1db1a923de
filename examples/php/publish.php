<?php

// Publishes an update, and prints its id. In examples/, with HUB and TOKEN as README.md sets them:
// $ php php/publish.php https://example.com/books/1 '{"stock": 3}'

require __DIR__.'/autoload.php';

use Symfony\Component\Mercure\Exception\ExceptionInterface;
use Symfony\Component\Mercure\Hub;
use Symfony\Component\Mercure\Jwt\StaticTokenProvider;
use Symfony\Component\Mercure\Update;

if (3 !== $argc) {
    fwrite(STDERR, "usage: publish.php TOPIC DATA\n");
    exit(1);
}
$hub = new Hub(getenv('HUB'), new StaticTokenProvider(getenv('TOKEN')));
try {
    echo $hub->publish(new Update($argv[1], $argv[2])), "\n";
} catch (ExceptionInterface $error) {
    // The cause is what the hub answered.
    fwrite(STDERR, ($error->getPrevious() ?? $error)->getMessage()."\n");
    exit(1);
}
