<?php

// Subscribes to the topics of its command line, and prints each update, until one of type `end` comes. In examples/, with HUB and TOKEN
// as README.md sets them:
// $ php php/subscribe.php 'https://example.com/books/{id}'

require __DIR__.'/autoload.php';

use Symfony\Component\HttpClient\Chunk\ServerSentEvent;
use Symfony\Component\HttpClient\EventSourceHttpClient;
use Symfony\Component\HttpClient\HttpClient;
use Symfony\Contracts\HttpClient\Exception\ExceptionInterface;

$query = implode('&', array_map(fn ($topic) => 'topic='.rawurlencode($topic), array_slice($argv, 1)));
// It reconnects by itself when the connection breaks, after a second, with its last event id.
$client = new EventSourceHttpClient(HttpClient::create(), 1.0);
$last = '';
while (true) {
    $source = $client->connect(getenv('HUB').'?'.$query.$last, ['auth_bearer' => getenv('TOKEN')]);
    try {
        foreach ($client->stream($source) as $chunk) {
            if (!$chunk->isTimeout() && $chunk instanceof ServerSentEvent) {
                $event = ['id' => $chunk->getId(), 'type' => $chunk->getType(), 'data' => $chunk->getData()];
                echo json_encode($event), "\n";
                if ('end' === $chunk->getType()) {
                    $source->cancel();
                    exit;
                }
                $last = '&lastEventID='.rawurlencode($chunk->getId());
            }
        }
    } catch (ExceptionInterface $error) {
        $status = $source->getInfo('http_code');
        fwrite(STDERR, $status.' '.$error->getMessage()."\n");
        if ($status >= 400 && $status < 500) {
            exit(1);
        }
    }
    // The stream has ended in good order, or the answer was none: that is for its user to try again.
    sleep(1);
}
