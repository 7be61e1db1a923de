<?php

// Subscribes to the topics of its command line, and prints each update, until one of type `end` comes.
// HUB=http://localhost:3000/.well-known/mercure TOKEN=… php subscribe.php 'https://example.com/books/{id}'

require __DIR__.'/autoload.php';

use Symfony\Component\HttpClient\Chunk\ServerSentEvent;
use Symfony\Component\HttpClient\EventSourceHttpClient;
use Symfony\Component\HttpClient\HttpClient;

$query = implode('&', array_map(fn ($topic) => 'topic='.rawurlencode($topic), array_slice($argv, 1)));
// It reconnects by itself, after a second, with its last event id.
$client = new EventSourceHttpClient(HttpClient::create(), 1.0);
$source = $client->connect(getenv('HUB').'?'.$query, ['auth_bearer' => getenv('TOKEN')]);
foreach ($client->stream($source) as $chunk) {
    if (!$chunk->isTimeout() && $chunk instanceof ServerSentEvent) {
        $event = ['id' => $chunk->getId(), 'type' => $chunk->getType(), 'data' => $chunk->getData()];
        echo json_encode($event), "\n";
        if ('end' === $chunk->getType()) {
            break;
        }
    }
}
$source->cancel();
