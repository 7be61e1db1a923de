// The subscribe form, and the state of its stream in the head of the page.

const live = new LiveList($('updates'), $('updates-count'), $('filter'));
/**
 * The settings with which the stream was started. A reconnect uses the same, so that a token is
 * only sent to the hub for which it was entered.
 */
let subscribed = {settings: null, selectors: []};
let heardAt = 0;
let comesBackAt = 0;

function subscribeUrl(hub, selectors) {
    const url = new URL(hub);
    for (const selector of selectors) url.searchParams.append('topic', selector);
    return url;
}

/** The last event id is sent in the header, as EventSource does, unless a header cannot hold it. */
async function streamRequest(url, lastId, settings) {
    const fitsHeader = /^[\x21-\x7e][\x20-\x7e]*$/.test(lastId);
    if (lastId && !fitsHeader) url.searchParams.set('lastEventID', lastId);
    const headers = {Accept: 'text/event-stream', ...(lastId && fitsHeader && {'Last-Event-ID': lastId})};
    return {url, options: await authorized(settings, headers), lastId};
}

const STATES = {idle: 'not subscribed', connecting: 'connecting', open: 'open', reconnecting: 'reconnecting', closed: 'closed'};

const stream = new Stream(
    lastId => streamRequest(subscribeUrl(subscribed.settings.hub, subscribed.selectors), lastId, subscribed.settings),
    {
        state(name, detail, untilMs = 0) {
            $('status').dataset.state = name;
            $('state').textContent = STATES[name];
            $('retry-now').hidden = name !== 'reconnecting';
            $('unsubscribe').disabled = name === 'idle' || name === 'closed';
            comesBackAt = untilMs;
            if (name === 'open') heardAt = Date.now();
            if (detail) say('subscribe-result', name === 'open' ? '' : 'bad', detail);
            else if (name === 'open' || name === 'idle') say('subscribe-result', '', '');
            tick();
        },
        event(event) {
            $('last-id').textContent = stream.lastId || 'none';
            live.add(event);
        },
        sign() {
            heardAt = Date.now();
        },
        unknown: id => `The hub does not know the id ${id} any more and sends all it has.`,
        refused: response => refused(response, 'subscribe', subscribed.settings),
    },
);

function tick() {
    const state = $('status').dataset.state;
    $('detail').textContent = state === 'reconnecting' ? `in ${Math.max(0, Math.ceil((comesBackAt - Date.now()) / 1000))} s` : '';
    $('heard').hidden = state !== 'open';
    $('heard').textContent = `heard ${Math.round((Date.now() - heardAt) / 1000)} s ago`;
}
setInterval(tick, 1_000);

onSubmit('subscribe-form', 'subscribe-result', () => {
    const settings = access();
    subscribed = {settings, selectors: lines($('selectors').value)};
    const fromId = $('from-id').value;
    showSubscribe(settings, subscribed.selectors, fromId);
    $('last-id').textContent = fromId || 'none';
    stream.start(fromId);
    return '';
});
$('unsubscribe').addEventListener('click', () => stream.stop());
$('retry-now').addEventListener('click', () => stream.now());
$('clear').addEventListener('click', () => live.clear());
$('pause').addEventListener('click', () => {
    live.pause(!live.isPaused);
    $('pause').setAttribute('aria-pressed', live.isPaused);
    $('pause').textContent = live.isPaused ? 'Go on' : 'Pause';
});

/** The curl arguments that send the token. */
function curlToken({token, usesCookie}) {
    if (usesCookie) return ` -b ${shell(`${cookieName}=${token || 'the token of the cookie'}`)}`;
    return token ? ` -H ${shell(`Authorization: Bearer ${token}`)}` : '';
}

function showSubscribe(settings, selectors, fromId) {
    const url = subscribeUrl(settings.hub, selectors);
    if (fromId) url.searchParams.set('lastEventID', fromId);
    const made = `const url = new URL(${quoted(settings.hub)});\n`
        + selectors.map(selector => `url.searchParams.append("topic", ${quoted(selector)});\n`).join('')
        + (fromId ? `url.searchParams.append("lastEventID", ${quoted(fromId)});\n` : '');
    const bySource = `const source = new EventSource(url${settings.usesCookie ? ', {withCredentials: true}' : ''});\n`
        + 'source.onmessage = event => console.log(event.lastEventId, event.data);\n'
        + '// Each type of its own needs a listener: source.addEventListener("type", …);';
    // EventSource sends no custom headers.
    const byFetch = `const response = await fetch(url, {headers: {Authorization: ${quoted('Bearer ' + settings.token)}}});\n`
        + 'const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();\n'
        + 'for (;;) {\n    const {done, value} = await reader.read();\n    if (done) break;\n    console.log(value);\n}';
    const usesHeader = settings.token && !settings.usesCookie;
    showCode('subscribe', `curl -N${curlToken(settings)} ${curlUrl(url.href)}`, made + (usesHeader ? byFetch : bySource));
}
