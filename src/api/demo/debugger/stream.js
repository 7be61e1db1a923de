// A subscription: the stream of events, read with fetch. EventSource shows neither events of unknown
// types nor the reason of a refusal, and sends no custom headers. The stream reconnects as an
// EventSource does, with its last event id.
//
//   idle ──start──▶ connecting ──200──▶ open ──end──▶ reconnecting ──delay──▶ connecting
//                       └──refused──▶ closed              ▲
//                       └──no answer, 429, 5xx────────────┘         stop: idle, from anywhere

/** Assembles events from pieces of text (WHATWG HTML, section 9.2.6). */
class EventParser {
    #rest = '';
    #data = [];
    #type = '';
    #id = null;
    #endedWithCr = false;

    /**
     * `onEvent` gets {id, type, data}; the id is null if the event has none. `onRetry` gets a time
     * in milliseconds.
     */
    constructor(onEvent, onRetry) {
        this.onEvent = onEvent;
        this.onRetry = onRetry;
    }

    push(text) {
        if (text === '') return;
        if (this.#endedWithCr && text.startsWith('\n')) text = text.slice(1);
        this.#endedWithCr = text.endsWith('\r');
        const parts = text.split(/\r\n|\n|\r/);
        parts[0] = this.#rest + parts[0];
        this.#rest = parts.pop();
        parts.forEach(line => this.#line(line));
    }

    #line(line) {
        if (line === '') return this.#dispatch();
        const colon = line.indexOf(':');
        const name = colon < 0 ? line : line.slice(0, colon);
        const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
        if (name === 'data') this.#data.push(value);
        else if (name === 'event') this.#type = value;
        else if (name === 'id' && !value.includes('\0')) this.#id = value;
        else if (name === 'retry' && /^\d+$/.test(value)) this.onRetry(Number(value));
    }

    #dispatch() {
        if (this.#data.length > 0) {
            this.onEvent({id: this.#id, type: this.#type || 'message', data: this.#data.join('\n')});
        }
        this.#data = [];
        this.#type = '';
        this.#id = null;
    }
}

/**
 * The delay before a reconnect: DELAY_MS unless the publisher sets another, doubled after each
 * failure, up to DELAY_MS_MAX.
 */
const DELAY_MS = 2_000;
const DELAY_MS_MAX = 30_000;
/** The bounds of `retry` and `Retry-After`. A timer of 2^31 ms or more does not wait at all. */
const ASKED_MS_MIN = 500;
const ASKED_MS_MAX = 3_600_000;

class Stream {
    #abort = null;
    #timer = 0;
    #delayMs = DELAY_MS;
    #failures = 0;
    lastId = '';

    /**
     * `prepare(lastId, signal)` returns the arguments of fetch and the id that is requested; it
     * changes nothing after the signal is aborted. `hear` has state(name, detail, untilMs),
     * event(event), sign() for any received bytes, refused(response), which returns a Failure for a
     * response, and unknown(id), which explains that the hub does not know the id, or throws a
     * Failure.
     */
    constructor(prepare, hear) {
        this.prepare = prepare;
        this.hear = hear;
    }

    start(lastId) {
        this.stop();
        this.lastId = lastId;
        this.#delayMs = DELAY_MS;
        this.#failures = 0;
        this.#connect();
    }

    stop() {
        clearTimeout(this.#timer);
        this.#abort?.abort();
        this.#abort = null;
        this.hear.state('idle', '');
    }

    now() {
        clearTimeout(this.#timer);
        this.#connect();
    }

    async #connect() {
        const abort = this.#abort = new AbortController();
        this.hear.state('connecting', '');
        try {
            await this.#read(abort.signal);
            if (!abort.signal.aborted) this.#comeBack('The stream ended.');
        } catch (error) {
            const isStopped = abort.signal.aborted;
            // Close an unusable response.
            abort.abort();
            if (isStopped) return;
            const isPassing = !(error instanceof Failure) || error.isPassing;
            if (isPassing) this.#comeBack(error instanceof Failure ? error.message : 'The connection broke.', error.retryAfterMs);
            else this.hear.state('closed', error.message);
        }
    }

    async #read(signal) {
        const {url, options, lastId} = await this.prepare(this.lastId, signal);
        let response;
        try {
            response = await fetch(url, {...options, cache: 'no-store', signal});
        } catch {
            throw unreachable(url, options.credentials === 'include');
        }
        if (!response.ok) throw await this.hear.refused(response);
        const mediaType = response.headers.get('Content-Type') ?? '';
        if (!mediaType.startsWith('text/event-stream')) {
            throw new Failure(`This URL answers with ${mediaType || 'no media type'}, not with events: is it the hub's?`);
        }
        const before = response.headers.get('Mercure-Last-Event-ID') ?? response.headers.get('Last-Event-ID');
        const isUnknown = before === 'earliest' && lastId !== '' && lastId !== 'earliest';
        const detail = isUnknown ? this.hear.unknown(lastId) : '';
        this.#failures = 0;
        this.hear.state('open', detail);
        const parser = new EventParser(event => this.#take(event), ms => {
            this.#delayMs = Math.min(Math.max(ms, ASKED_MS_MIN), ASKED_MS_MAX);
        });
        const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
        for (;;) {
            const {done, value} = await reader.read();
            if (done || signal.aborted) return;
            this.hear.sign();
            parser.push(value);
        }
    }

    #take(event) {
        if (event.id !== null) this.lastId = event.id;
        this.hear.event(event);
    }

    #comeBack(reason, retryAfterMs = 0) {
        const growingMs = Math.min(this.#delayMs * 2 ** this.#failures, Math.max(this.#delayMs, DELAY_MS_MAX));
        const delayMs = Math.max(growingMs, Math.min(retryAfterMs, ASKED_MS_MAX));
        this.#failures++;
        this.hear.state('reconnecting', reason, Date.now() + delayMs);
        this.#timer = setTimeout(() => this.#connect(), delayMs);
    }
}
