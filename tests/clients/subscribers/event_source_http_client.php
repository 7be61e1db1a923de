<?php

// Symfony's EventSourceHttpClient: a line of JSON for each event, until one of type `end`. It comes back by itself, without a word, but
// throws a LogicException when the first attempt of a connection has had no answer: examples/php/subscribe.php does without it.

require 'Symfony/Component/HttpClient/autoload.php';

use Symfony\Component\HttpClient\Chunk\ServerSentEvent;
use Symfony\Component\HttpClient\EventSourceHttpClient;
use Symfony\Component\HttpClient\HttpClient;
use Symfony\Contracts\HttpClient\Exception\ExceptionInterface;

$parameter = getenv('PARAMETER') ?: 'topic';
$cursor = 'topic' === $parameter ? 'lastEventID' : 'last_event_id';
$query = implode('&', array_map(fn ($topic) => $parameter.'='.rawurlencode($topic), array_slice($argv, 1)));
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
                $last = "&$cursor=".rawurlencode($chunk->getId());
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
