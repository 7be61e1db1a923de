// The subscribe form, and the state of its stream in the head of the page.

const live = new LiveList($('updates'), $('updates-count'), $('filter'));
/**
 * The settings with which the stream was started. A reconnect uses the same, so that a token is
 * only sent to the hub for which it was entered.
 */
let subscribed = {settings: null, matchers: []};
let heardAt = 0;
let comesBackAt = 0;

const PARAMETERS = {
    match: 'the topic with this text, or *',
    match_exact: 'the same, by its full name',
    match_urlpattern: 'the topics that a URL Pattern matches',
};
const matcherRows = new MatcherRows($('matchers'), PARAMETERS);
matcherRows.values = [['match_urlpattern', 'https://example.com/books/:id']];
$('add-matcher').addEventListener('click', () => matcherRows.add());

/** What is subscribed to: pairs of a parameter and its value. */
function matchersNow() {
    return speaks10() ? matcherRows.values : lines($('selectors').value).map(selector => ['topic', selector]);
}

function subscribeUrl(hub, matchers) {
    const url = new URL(hub);
    for (const [name, text] of matchers) url.searchParams.append(name, text);
    return url;
}

/** Shows the URL that is going to be requested. */
function showUrl() {
    const hub = $('hub').value;
    const url = URL.canParse(hub) ? subscribeUrl(hub, matchersNow()) : null;
    const fromId = $('from-id').value;
    if (fromId) url?.searchParams.set(cursorName(speaks10()), fromId);
    $('subscribe-url').textContent = url?.href ?? '';
}
for (const id of ['subscribe-form', 'hub']) $(id).addEventListener('input', showUrl);

/** The last event id is sent in the header, as EventSource does, unless a header cannot hold it. */
async function streamRequest(url, lastId, settings, is10 = settings.is10) {
    const fitsHeader = /^[\x21-\x7e][\x20-\x7e]*$/.test(lastId);
    if (lastId && !fitsHeader) url.searchParams.set(cursorName(is10), lastId);
    const headers = {Accept: 'text/event-stream', ...(lastId && fitsHeader && {'Last-Event-ID': lastId})};
    return {url, options: await authorized(settings, headers), lastId};
}

const STATES = {idle: 'not subscribed', connecting: 'connecting', open: 'open', reconnecting: 'reconnecting', closed: 'closed'};

const stream = new Stream(
    lastId => streamRequest(subscribeUrl(subscribed.settings.hub, subscribed.matchers), lastId, subscribed.settings),
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
    subscribed = {settings, matchers: matchersNow()};
    const fromId = $('from-id').value;
    showSubscribe(settings, subscribed.matchers, fromId);
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
function curlToken({token, usesCookie, is10}) {
    const isAccess = token ? isAccessToken(decode(token)) : is10;
    const cookieName = isAccess ? known.cookie || own.accessTokenCookie : own.cookie;
    if (usesCookie) return ` -b ${shell(`${cookieName}=${token || 'the token of the cookie'}`)}`;
    return token ? ` -H ${shell(`Authorization: Bearer ${token}`)}` : '';
}

function showSubscribe(settings, matchers, fromId) {
    const url = subscribeUrl(settings.hub, matchers);
    const cursor = cursorName(settings.is10);
    if (fromId) url.searchParams.set(cursor, fromId);
    const made = `const url = new URL(${quoted(settings.hub)});\n`
        + matchers.map(([name, text]) => `url.searchParams.append(${quoted(name)}, ${quoted(text)});\n`).join('')
        + (fromId ? `url.searchParams.append(${quoted(cursor)}, ${quoted(fromId)});\n` : '');
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
