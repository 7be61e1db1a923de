// The page: what its forms do.

const HUB_PATH = '/.well-known/mercure';
const SUBSCRIPTIONS = HUB_PATH + '/subscriptions{/topic}{/subscriber}';
const DEMO_KEY = '!ChangeThisMercureHubJWTSecretKey!';
const STORED = 'petasos';
const RESOURCE_BYTES_MAX = 64 * 1024;
const RESOURCE_MS_MAX = 10_000;
const SUBSCRIBERS_MAX = 1_000;

// ---- Settings: kept for this tab alone, and without the secret.

function access() {
    const hub = $('hub').value.trim();
    if (!URL.canParse(hub)) throw new Failure('The hub URL in the settings is no URL.');
    const token = $('token').value.replaceAll(/\s/g, '');
    if (/[^\x21-\x7e]/.test(token)) throw new Failure('The token in the settings holds characters that no token has.');
    const usesCookie = document.querySelector('input[name=carrier]:checked').value === 'cookie';
    return {hub, token, usesCookie, isOwnHub: new URL(hub).origin === location.origin};
}

/** What fetch needs to send the token as the settings say. On this page's own hub that sets the cookie first. */
async function authorized({token, usesCookie, isOwnHub}, headers = {}) {
    if (!usesCookie) return {credentials: 'omit', headers: token ? {...headers, Authorization: `Bearer ${token}`} : headers};
    if (token && isOwnHub) await setCookie(token);
    return {credentials: 'include', headers};
}

async function setCookie(token) {
    const url = new URL('/demo/cookie.txt', location);
    if (token) url.searchParams.set('jwt', token);
    let response;
    try {
        response = await fetch(url, {credentials: 'same-origin', cache: 'no-store'});
    } catch {
        throw unreachable(url, true);
    }
    if (!response.ok) throw new Failure(`The hub did not set the cookie. It says: ${await response.text()}`);
}

function settingsChanged() {
    const token = $('token').value.replaceAll(/\s/g, '');
    const carrier = document.querySelector('input[name=carrier]:checked').value;
    try {
        sessionStorage.setItem(STORED, JSON.stringify({hub: $('hub').value, token, carrier}));
    } catch {
        // Without storage the settings are gone with the page, and that is all.
    }
    $('token-says').textContent = token ? describe(token) : 'None: updates that are public can be received, if the hub allows it.';
    const decoded = token ? decode(token) : null;
    $('decoded').hidden = !decoded;
    $('decoded-claims').textContent = decoded ? JSON.stringify(decoded, null, 2) : '';
    $('cookie-help').hidden = carrier !== 'cookie';
    const isOwnHub = URL.canParse($('hub').value) && new URL($('hub').value).origin === location.origin;
    $('cookie-says').textContent = isOwnHub
        ? 'The token above is put into the cookie before each request; without one, a cookie that is there is used.'
        : "The cookie of another hub has to be set by that hub's own site. This page sends it, and cannot set it.";
}

function restoreSettings() {
    let stored = {};
    try {
        stored = JSON.parse(sessionStorage.getItem(STORED)) ?? {};
    } catch {
        // See above.
    }
    $('hub').value = stored.hub || new URL(HUB_PATH, location).href;
    $('token').value = stored.token || '';
    const carrier = document.querySelector(`input[name=carrier][value=${stored.carrier === 'cookie' ? 'cookie' : 'header'}]`);
    carrier.checked = true;
    settingsChanged();
}

$('settings-form').addEventListener('input', settingsChanged);
$('settings-form').addEventListener('submit', event => event.preventDefault());
$('forget-cookie').addEventListener('click', () => run('cookie-result', async () => {
    await setCookie('');
    return 'The cookie of this hub is removed.';
}));

/** Does something for a form, and shows below it how it ended. */
async function run(outputId, work) {
    say(outputId, '', '…');
    try {
        say(outputId, 'good', await work());
    } catch (error) {
        if (!(error instanceof Failure)) console.warn(error);
        say(outputId, 'bad', error.message);
    }
}

function onSubmit(formId, outputId, work) {
    $(formId).addEventListener('submit', event => {
        event.preventDefault();
        run(outputId, work);
    });
}

document.addEventListener('keydown', event => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) event.target.form?.requestSubmit();
});

// ---- The token builder. Fields and claims follow each other; what the fields do not know stays.

function claimsNow() {
    try {
        const claims = JSON.parse($('claims').value);
        return claims !== null && typeof claims === 'object' && !Array.isArray(claims) ? claims : {};
    } catch {
        return {};
    }
}

function composeClaims() {
    const claims = claimsNow();
    const grants = claims.mercure = {...claims.mercure};
    const set = (object, name, value) => value === undefined ? delete object[name] : object[name] = value;
    const list = text => lines(text).length > 0 ? lines(text) : undefined;
    set(grants, 'publish', list($('may-publish').value));
    set(grants, 'subscribe', list($('may-subscribe').value));
    const minutes = Number($('expires').value);
    set(claims, 'exp', minutes > 0 ? Math.floor(Date.now() / 1000 + minutes * 60) : undefined);
    try {
        const payload = $('payload').value.trim();
        set(grants, 'payload', payload === '' ? undefined : JSON.parse(payload));
        say('builder-result', '', '');
    } catch {
        say('builder-result', 'bad', 'The payload is no JSON; a text needs quotes.');
    }
    $('claims').value = JSON.stringify(claims, null, 2);
}

function readClaims() {
    const {exp, mercure} = claimsNow();
    const list = value => Array.isArray(value) ? value.join('\n') : '';
    $('may-publish').value = list(mercure?.publish);
    $('may-subscribe').value = list(mercure?.subscribe);
    $('payload').value = mercure?.payload === undefined ? '' : JSON.stringify(mercure.payload);
    $('expires').value = typeof exp === 'number' ? Math.max(1, Math.round((exp - Date.now() / 1000) / 60)) : '';
    isComposed = false;
}

let isComposed = true;
for (const id of ['may-publish', 'may-subscribe', 'expires', 'payload']) {
    $(id).addEventListener('input', () => {
        isComposed = true;
        composeClaims();
    });
}
$('claims').addEventListener('input', readClaims);

onSubmit('builder-form', 'builder-result', async () => {
    // The time of expiry counts from the signature.
    if (isComposed) composeClaims();
    let token;
    try {
        token = await sign($('claims').value, $('secret').value, $('algorithm').value);
    } catch (error) {
        throw error instanceof SyntaxError ? new Failure(`The claims are no JSON: ${error.message}`) : error;
    }
    $('token').value = token;
    settingsChanged();
    return 'Signed. It is the token of the settings now.';
});

// ---- Subscribe.

const live = new LiveList($('updates'), $('updates-count'), $('filter'));
let subscribed = {hub: '', selectors: []};
let heardAt = 0;
let comesBackAt = 0;

function subscribeUrl(hub, selectors) {
    const url = new URL(hub);
    for (const selector of selectors) url.searchParams.append('topic', selector);
    return url;
}

/** Where to go on goes into the header, as EventSource has it, unless the id is one that no header can hold. */
async function streamRequest(url, lastId, settings) {
    const fitsHeader = /^[\x21-\x7e][\x20-\x7e]*$/.test(lastId);
    if (lastId && !fitsHeader) url.searchParams.set('lastEventID', lastId);
    const headers = {Accept: 'text/event-stream', ...(lastId && fitsHeader && {'Last-Event-ID': lastId})};
    return {url, options: await authorized(settings, headers)};
}

const STATES = {idle: 'not subscribed', connecting: 'connecting', open: 'open', reconnecting: 'reconnecting', closed: 'closed'};

const stream = new Stream(
    lastId => streamRequest(subscribeUrl(subscribed.hub, subscribed.selectors), lastId, access()),
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
        refused: response => refused(response, 'subscribe', access()),
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
    subscribed = {hub: settings.hub, selectors: lines($('selectors').value)};
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

/** How curl is told the token. */
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
    // EventSource sends no header.
    const byFetch = `const response = await fetch(url, {headers: {Authorization: ${quoted('Bearer ' + settings.token)}}});\n`
        + 'const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();\n'
        + 'for (;;) {\n    const {done, value} = await reader.read();\n    if (done) break;\n    console.log(value);\n}';
    const usesHeader = settings.token && !settings.usesCookie;
    showCode('subscribe', `curl -N${curlToken(settings)} ${shell(url.href)}`, made + (usesHeader ? byFetch : bySource));
}

// ---- Publish.

$('for-targets').hidden = !authorizesByTargets;
$('for-selectors').hidden = authorizesByTargets;

function updateFields() {
    const fields = lines($('topics').value).map(topic => ['topic', topic]);
    const add = (name, value) => value !== '' && fields.push([name, value]);
    if (authorizesByTargets) fields.push(['data', $('data').value]);
    else add('data', $('data').value);
    if (authorizesByTargets) lines($('targets').value).forEach(target => add('target', target));
    else if ($('private').checked) add('private', 'on');
    for (const name of ['id', 'type', 'retry']) add(name, $(name).value);
    return fields;
}

onSubmit('publish-form', 'publish-result', async () => {
    const settings = access();
    const fields = updateFields();
    showPublish(settings, fields);
    const options = await authorized(settings);
    let response;
    try {
        response = await fetch(settings.hub, {...options, method: 'POST', body: new URLSearchParams(fields)});
    } catch {
        throw unreachable(settings.hub, settings.usesCookie);
    }
    if (response.status === 401 && !settings.token) $('builder').open = true;
    if (!response.ok) throw await refused(response, 'publish', settings);
    return `Published as ${await response.text()}`;
});

function showPublish(settings, fields) {
    const origin = settings.usesCookie ? ` -H ${shell(`Origin: ${location.origin}`)}` : '';
    const parts = fields.map(([name, value]) => ` --data-urlencode ${shell(`${name}=${value}`)}`);
    const curl = [`curl${curlToken(settings)}${origin}`, ...parts, ` ${shell(settings.hub)}`].join(' \\\n   ');
    const how = settings.usesCookie ? '    credentials: "include",\n'
        : settings.token ? `    headers: {Authorization: ${quoted('Bearer ' + settings.token)}},\n` : '';
    const list = fields.map(([name, value]) => `        [${quoted(name)}, ${quoted(value)}],\n`).join('');
    const javascript = `const response = await fetch(${quoted(settings.hub)}, {\n    method: "POST",\n${how}`
        + `    body: new URLSearchParams([\n${list}    ]),\n});\nconsole.log(response.status, await response.text());`;
    showCode('publish', curl, javascript);
}

// ---- Discover.

/** The links of a header (RFC 8288, section 3). */
function parseLinks(header, base) {
    const links = header.matchAll(/<([^>]*)>((?:\s*;\s*[^\s=;,]+(?:\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s;,"]*))?)*)/g);
    return [...links].map(([text, target, parameters]) => {
        const rel = /;\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,"]+))/i.exec(parameters);
        const rels = (rel?.[1] ?? rel?.[2] ?? '').toLowerCase().split(/\s+/);
        return {text, rels, url: URL.canParse(target, base) ? new URL(target, base) : null};
    });
}

/** The beginning of a body: what is asked for may be a stream without end. */
async function beginning(response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    while (text.length < RESOURCE_BYTES_MAX) {
        const {done, value} = await reader.read();
        if (done) return text;
        text += value;
    }
    return text;
}

onSubmit('discover-form', 'discover-result', async () => {
    $('discovered').hidden = true;
    const url = new URL($('resource').value);
    showCode('discover', `curl -i ${shell(url.href)}`,
        `const response = await fetch(${quoted(url.href)});\nconsole.log(response.headers.get("Link"));`);
    const isElsewhere = url.origin !== location.origin;
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), RESOURCE_MS_MAX);
    let response, body;
    try {
        // Without credentials: the playground would take the cookie away.
        response = await fetch(url, {credentials: 'omit', signal: abort.signal});
        body = await beginning(response);
    } catch {
        throw new Failure(abort.signal.aborted ? 'It did not answer in ten seconds.' : isElsewhere
            ? `No answer that this page may read. If it is running, it has to answer with Access-Control-Allow-Origin: ${location.origin}`
                + ' and Access-Control-Expose-Headers: Link.'
            : 'No answer: is the hub running?');
    } finally {
        clearTimeout(timer);
        abort.abort();
    }
    if (!response.ok) throw new Failure(`${response.status}: ${cut(body)}`);
    return discovered(parseLinks(response.headers.get('Link') ?? '', response.url), response, body, isElsewhere);
});

function discovered(links, response, body, isElsewhere) {
    $('links').replaceChildren(...links.map(({text}) => element('li', {}, element('code', {}, text))));
    $('discover-body').textContent = cut(pretty(body)) || 'empty';
    $('discovered').hidden = false;
    const find = rel => links.find(link => link.rels.includes(rel) && link.url)?.url;
    const hub = find('mercure');
    if (!hub) {
        const hint = isElsewhere ? ' If it sends one, it has to let this page see it: Access-Control-Expose-Headers: Link.' : '';
        throw new Failure(`No Link header with rel="mercure": this resource names no hub.${hint}`);
    }
    const topic = find('self') ?? new URL(response.url);
    // A token in the URL is no part of the topic's name.
    if (topic.searchParams.has('jwt')) topic.searchParams.delete('jwt');
    $('hub').value = hub.href;
    settingsChanged();
    $('selectors').value = topic.href;
    $('topics').value = topic.href;
    return `Hub and topic are filled in: ${hub.href}, ${topic.href}`;
}

// ---- Active subscriptions: the list, then what changes after it, in the hub's own order.

const subscribers = new Map();
let watchedHub = '';

function apiUrl(hub, name) {
    const url = new URL(hub);
    url.pathname = `${url.pathname.replace(/\/$/, '')}/${name}`;
    return url;
}

/** Every time anew: a hub that was started again has other subscriptions. */
async function listSubscriptions() {
    const settings = access();
    const url = apiUrl(watchedHub, 'subscriptions');
    let response;
    try {
        response = await fetch(url, {...await authorized(settings), cache: 'no-store'});
    } catch (error) {
        throw error instanceof Failure ? error : unreachable(url, settings.usesCookie);
    }
    if (!response.ok) throw await refused(response, 'list', settings);
    const {subscriptions = [], lastEventID = ''} = await response.json();
    subscribers.clear();
    for (const subscription of subscriptions) subscribers.set(subscription.id, subscription);
    drawSubscribers();
    return streamRequest(subscribeUrl(watchedHub, [SUBSCRIPTIONS]), lastEventID, settings);
}

const watcher = new Stream(listSubscriptions, {
    state(name, detail) {
        $('unwatch').disabled = name === 'idle' || name === 'closed';
        const text = {idle: '', connecting: '…', closed: detail, open: `Watching. ${subscribers.size} now.`}[name] ?? `${STATES[name]}: ${detail}`;
        say('subscriptions-result', {open: 'good', closed: 'bad', reconnecting: 'bad'}[name] ?? '', text);
    },
    event({data}) {
        let subscription;
        try {
            subscription = JSON.parse(data);
        } catch {
            return;
        }
        if (subscription.active) subscribers.set(subscription.id, subscription);
        else subscribers.delete(subscription.id);
        drawSubscribers();
        say('subscriptions-result', 'good', `Watching. ${subscribers.size} now.`);
    },
    sign() {},
    refused: response => refused(response, 'list', access()),
});

let drawsSubscribers = 0;
function drawSubscribers() {
    drawsSubscribers ||= setTimeout(() => {
        drawsSubscribers = 0;
        const shown = [...subscribers.values()].slice(0, SUBSCRIBERS_MAX).map(({topic, subscriber, payload}) => element('li', {},
            element('strong', {}, topic), element('code', {className: 'id'}, subscriber),
            ...payload === undefined ? [] : [element('pre', {}, JSON.stringify(payload, null, 2))]));
        const more = subscribers.size - shown.length;
        if (more > 0) shown.push(element('li', {}, `and ${more} more`));
        $('subscribers').replaceChildren(...shown);
    }, DRAW_EVERY_MS);
}

$('watch').addEventListener('click', () => run('subscriptions-result', () => {
    const settings = access();
    watchedHub = settings.hub;
    const url = apiUrl(watchedHub, 'subscriptions').href;
    const how = settings.usesCookie ? ', {credentials: "include"}'
        : settings.token ? `, {headers: {Authorization: ${quoted('Bearer ' + settings.token)}}}` : '';
    showCode('subscriptions', `curl${curlToken(settings)} ${shell(url)}`,
        `const response = await fetch(${quoted(url)}${how});\nconsole.log(await response.json());`);
    watcher.start('');
    return '…';
}));
$('unwatch').addEventListener('click', () => {
    watcher.stop();
    subscribers.clear();
    drawSubscribers();
});

// ---- Selectors.

const KINDS = {
    any: 'It selects every topic.',
    exact: 'It is no URI Template, so it selects the topic that is the same text.',
    template: 'It is a URI Template.',
};

onSubmit('match-form', 'match-result', async () => {
    $('matches').replaceChildren();
    const settings = access();
    const url = apiUrl(settings.hub, 'match');
    url.searchParams.append('selector', $('match-selector').value);
    for (const topic of lines($('match-topics').value)) url.searchParams.append('topic', topic);
    showCode('match', `curl ${shell(url.href)}`, `console.log(await (await fetch(${quoted(url.href)})).json());`);
    let response;
    try {
        response = await fetch(url, {credentials: 'omit'});
    } catch {
        throw unreachable(url, false);
    }
    if (!response.ok) throw await refused(response, 'match', settings);
    const {kind, topics} = await response.json();
    $('matches').replaceChildren(...topics.map(({topic, matches}) => element('li', {className: matches ? 'yes' : 'no'},
        element('strong', {}, matches ? '✓ selected' : '✗ not selected'), element('code', {}, topic))));
    return `${topics.filter(({matches}) => matches).length} of ${topics.length} selected. ${KINDS[kind] ?? ''}`;
});

// ---- The beginning.

for (const hint of document.querySelectorAll('.per-line')) {
    hint.textContent = authorizesByTargets ? 'targets, one per line' : 'selectors, one per line';
}
$('resource').value = new URL('/demo/books/1.jsonld', location).href;
$('secret').value = DEMO_KEY;
composeClaims();
restoreSettings();
