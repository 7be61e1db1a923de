<?php

// Subscribes to the topics of its command line, and prints each update, until one of type `end` comes. In examples/, with HUB and TOKEN
// as README.md sets them:
// $ php php/subscribe.php 'https://example.com/books/{id}'
// For Mercure 1.0, PARAMETER is match or match_urlpattern.

require __DIR__.'/autoload.php';

use Symfony\Component\HttpClient\Chunk\ServerSentEvent;
use Symfony\Component\HttpClient\HttpClient;
use Symfony\Contracts\HttpClient\Exception\ExceptionInterface;

$parameter = getenv('PARAMETER') ?: 'topic';
$query = implode('&', array_map(fn ($topic) => $parameter.'='.rawurlencode($topic), array_slice($argv, 1)));
// Symfony's EventSourceHttpClient reconnects by itself, but fails for good where a first attempt has had no answer: so this does it itself.
$client = HttpClient::create();
// The hub sends a heartbeat every 15 s: silence of a minute is a broken connection.
$options = ['auth_bearer' => getenv('TOKEN'), 'headers' => ['Accept' => 'text/event-stream'], 'buffer' => false, 'timeout' => 60];
while (true) {
    try {
        $answer = $client->request('GET', getenv('HUB').'?'.$query, $options);
        $status = $answer->getStatusCode();
        if ($status >= 400 && $status < 500) {
            fwrite(STDERR, $status.': '.$answer->getContent(false)."\n");
            exit(1);
        }
        $text = '';
        foreach (200 === $status ? $client->stream($answer) : [] as $chunk) {
            // An empty line ends an event: only then it is whole, and its id seen.
            $events = explode("\n\n", $text.$chunk->getContent());
            $text = array_pop($events);
            foreach ($events as $event) {
                $event = new ServerSentEvent($event);
                $options['headers']['Last-Event-ID'] = $event->getId();
                echo json_encode(['id' => $event->getId(), 'type' => $event->getType(), 'data' => $event->getData()]), "\n";
                if ('end' === $event->getType()) {
                    exit;
                }
            }
        }
        $why = 200 === $status ? 'the stream has ended' : $status;
    } catch (ExceptionInterface $error) {
        $why = $error->getMessage();
    }
    fwrite(STDERR, "again in a second: $why\n");
    sleep(1);
}
