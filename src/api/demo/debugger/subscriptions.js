// Active subscriptions: the list, then the changes after it, in the hub's own order.

const LIST_TEMPLATE = HUB_PATH + '/subscriptions{/topic}{/subscriber}';
/** The list and each of its members. */
const LIST_PATTERN = HUB_PATH + '/subscriptions/*?';
const SUBSCRIBERS_MAX = 1_000;

const subscribers = new Map();
/** The settings with which the watcher was started and reconnects. */
let watched = null;

function apiUrl(hub, name) {
    const url = new URL(hub);
    url.pathname = `${url.pathname.replace(/\/$/, '')}/${name}`;
    return url;
}

/** Whether the list is one of 1.0. */
let listIs10 = false;

/** Lists them at every connection: a restarted hub has other subscriptions. */
async function listSubscriptions(_, signal) {
    const settings = watched;
    const url = apiUrl(settings.hub, 'subscriptions');
    let response;
    try {
        response = await fetch(url, {...await authorized(settings), cache: 'no-store', signal});
    } catch (error) {
        throw error instanceof Failure ? error : unreachable(url, settings.usesCookie);
    }
    if (!response.ok) throw await refused(response, 'list', settings);
    const {subscriptions, lastEventID} = await jsonOf(response, list => Array.isArray(list?.subscriptions));
    // The form of the list: that of 1.0 has its cursor in the head. On a hub that speaks both, the
    // token decides.
    const links = parseLinks(response.headers.get('Link') ?? '', url);
    const cursor = lastEventID ?? links.find(link => link.rels.includes('mercure'))?.lastEventId;
    if (typeof cursor !== 'string') throw new Failure(`This list does not say which update it follows: is ${url} the hub's?`);
    listIs10 = lastEventID === undefined;
    // After a stop, the list is not needed.
    signal.throwIfAborted();
    subscribers.clear();
    for (const subscription of subscriptions) subscribers.set(subscription.id, subscription);
    drawSubscribers();
    const matcher = listIs10 ? ['match_urlpattern', LIST_PATTERN] : ['topic', LIST_TEMPLATE];
    return streamRequest(subscribeUrl(settings.hub, [matcher]), cursor, settings, listIs10);
}

const watching = () => `Watching. ${subscribers.size} now.`
    + (listIs10 === watched.is10 ? '' : ` They are those of ${listIs10 ? '1.0' : OLDER}, as the token is.`);

const watcher = new Stream(listSubscriptions, {
    state(name, detail) {
        $('unwatch').disabled = name === 'idle' || name === 'closed';
        const text = {idle: '', connecting: '…', closed: detail, open: watching()}[name] ?? `${STATES[name]}: ${detail}`;
        say('subscriptions-result', {open: 'good', closed: 'bad', reconnecting: 'bad'}[name] ?? '', text);
    },
    event({data}) {
        let subscription;
        try {
            subscription = JSON.parse(data);
        } catch {
            return;
        }
        if (typeof subscription?.id !== 'string') return;
        if (subscription.active) subscribers.set(subscription.id, subscription);
        else subscribers.delete(subscription.id);
        drawSubscribers();
        say('subscriptions-result', 'good', watching());
    },
    sign() {},
    unknown() {
        throw new Failure('the hub has discarded what came after the list, which is asked for again.', true);
    },
    refused: response => refused(response, 'subscribe', watched),
});

let drawsSubscribers = 0;
function drawSubscribers() {
    drawsSubscribers ||= setTimeout(() => {
        drawsSubscribers = 0;
        const shown = [...subscribers.values()].slice(0, SUBSCRIBERS_MAX).map(({topic, match_type: type, match, subscriber, payload}) => element('li', {},
            element('strong', {}, topic ?? match), ...type ? [element('span', {className: 'type'}, `${type} `)] : [],
            element('code', {className: 'id'}, subscriber),
            ...payload === undefined ? [] : [element('pre', {}, JSON.stringify(payload, null, 2))]));
        const more = subscribers.size - shown.length;
        if (more > 0) shown.push(element('li', {}, `and ${more} more`));
        $('subscribers').replaceChildren(...shown);
    }, DRAW_EVERY_MS);
}

$('watch').addEventListener('click', () => run('subscriptions-result', () => {
    const settings = watched = access();
    const url = apiUrl(settings.hub, 'subscriptions').href;
    const how = settings.usesCookie ? ', {credentials: "include"}'
        : settings.token ? `, {headers: {Authorization: ${quoted('Bearer ' + settings.token)}}}` : '';
    showCode('subscriptions', `curl${curlToken(settings)} ${curlUrl(url)}`,
        `const response = await fetch(${quoted(url)}${how});\nconsole.log(await response.json());`);
    watcher.start('');
    return '…';
}));
$('unwatch').addEventListener('click', () => {
    watcher.stop();
    subscribers.clear();
    drawSubscribers();
});
