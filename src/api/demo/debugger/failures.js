// The meaning of errors, and what to change.

/** A failed request, with what to change. */
class Failure extends Error {
    /** `isPassing`: the same request may succeed later, after `retryAfterMs` if the hub says so. */
    constructor(message, isPassing = false, retryAfterMs = 0) {
        super(message);
        this.isPassing = isPassing;
        this.retryAfterMs = retryAfterMs;
    }
}

/** A URL that fetch can request; `name` is its name in the error message. */
function webUrl(text, name) {
    const url = URL.canParse(text) ? new URL(text) : null;
    if (!url || !['http:', 'https:'].includes(url.protocol) || url.username || url.password) {
        throw new Failure(`${name} has to be an http or https URL, without user and password.`);
    }
    return url;
}

/** The failure if no response arrived that this page may read. */
function unreachable(url, usesCookie) {
    const hub = new URL(url, location);
    if (hub.origin === location.origin) {
        return new Failure(`No answer from ${hub.origin}: is the hub running, and the network up?`, true);
    }
    if (location.protocol === 'https:' && hub.protocol === 'http:') {
        return new Failure(`This page came by https, so the browser keeps it from ${hub.origin}: use https there, too.`);
    }
    const list = usesCookie ? ' (with cookies, * is not enough)' : '';
    return new Failure(`No answer from ${hub.origin} that this page may read. Either it is not running, or it does not let`
        + ` this page in: start it with CORS_ALLOWED_ORIGINS=${location.origin}${list}.`, true);
}

/** What a hub says about an error: its text, or the text of a problem (RFC 9457). */
async function reasonOf(response) {
    const text = (await response.text().catch(() => '')).trim();
    if (!/^application\/problem\+json\b/i.test(response.headers.get('Content-Type') ?? '')) return text;
    try {
        const {title, detail} = JSON.parse(text);
        return [title, detail].filter(part => typeof part === 'string').join(': ') || text;
    } catch {
        return text;
    }
}

/** The failure for a response other than 2xx. `doing` is subscribe, publish, list, or match. */
async function refused(response, doing, access) {
    const text = await reasonOf(response);
    const hubSays = text && text.length < 500 ? ` The hub says: ${text}` : '';
    // The challenge (RFC 6750, section 3). One without parameters says nothing more than the status.
    const challenge = response.headers.get('WWW-Authenticate')?.trim() ?? '';
    const asked = / /.test(challenge) ? ` Its challenge: ${cut(challenge)}` : '';
    switch (response.status) {
        case 400: return new Failure(`400: something in the request is not as it must be.${hubSays}${asked}`);
        case 401: return new Failure(`401: ${unauthorized(doing, access)}${asked}`);
        // If the body is more than the status text, the hub gives its own reason.
        case 403: return new Failure(`403: ${/^(Forbidden)?$/.test(text) ? forbidden(doing, access) : `the hub refuses this.${hubSays}`}${asked}`);
        case 404: return new Failure('404: ' + await missing(doing, access, hubSays));
        case 405: return new Failure(`405: this URL does not take such a request. Is it the hub's?${hubSays}`);
        case 413: return new Failure(`413: the update is too large. Shorten it, or raise MAX_BODY_SIZE.${hubSays}`);
        case 414: return new Failure(`414: the URL is too long; ask for less at once.${hubSays}`);
        case 415: return new Failure(`415: this URL does not take forms. Is it the hub's?${hubSays}`);
    }
    const after = Number(response.headers.get('Retry-After')) * 1000 || 0;
    const isPassing = response.status === 429 || response.status >= 500;
    const meaning = {
        429: 'this address or this token has its share of connections.',
        503: 'the hub cannot do it now: it is starting, stopping, full, or its disk is.',
    }[response.status] || `the answer was not expected (${response.statusText || 'no reason given'}).`;
    return new Failure(`${response.status}: ${meaning}${hubSays}`, isPassing, after);
}

/**
 * Finds what is missing: the hub, or one of its optional resources. Only a hub refuses a request
 * without a topic.
 */
async function missing(doing, {hub, isOwnHub}, hubSays) {
    const isHub = async () => {
        try {
            return [400, 401, 403].includes((await fetch(hub, {credentials: 'omit', cache: 'no-store'})).status);
        } catch {
            return false;
        }
    };
    if (!['list', 'match'].includes(doing) || !await isHub()) return `there is no hub at this URL.${hubSays}`;
    if (doing === 'match') return 'this hub does not offer its matcher. petasos does, in demo mode.';
    return isOwnHub && isOlderOf2019
        ? 'this hub does not tell who is subscribed: it authorizes by targets, and these cannot name a subscription.'
        : 'this hub does not tell who is subscribed. Start it with SUBSCRIPTIONS=1.';
}

/** The response as JSON; `isWanted` checks that it is the requested document. */
async function jsonOf(response, isWanted) {
    const text = await response.text();
    try {
        const value = JSON.parse(text);
        if (isWanted(value)) return value;
    } catch {
        // Reported below.
    }
    throw new Failure(`This URL answers with ${response.headers.get('Content-Type') || 'no media type'}, and not with what was`
        + ` asked for: is it the hub's?`);
}

function unauthorized(doing, {token, usesCookie, isOwnHub}) {
    if (!token) {
        const where = usesCookie ? 'There is no cookie with a token that the hub accepts' : 'There is no token';
        const need = doing === 'subscribe' ? 'this hub lets nobody subscribe without (ALLOW_ANONYMOUS=1 would)' : 'this needs one';
        return `${where}, and ${need}. Build one in the settings.`;
    }
    const fault = faultOf(token);
    if (fault) return `${fault} Build another one in the settings.`;
    if (usesCookie && !isOwnHub) {
        return 'the hub was not sent this token: only its own site can set the cookie. Send it in the header instead.';
    }
    if (isAccessToken(decode(token))) {
        return 'the hub does not accept this token of 1.0: its iss is not the name of an ISSUER of the hub, its aud not the'
            + ' hub\'s, or it was not signed with a key of that issuer (ISSUER_PUBLISHER_KEY to publish, ISSUER_SUBSCRIBER_KEY'
            + ' for the rest). Build another one in the settings.';
    }
    return 'the hub does not accept this token: it was not signed with its JWT_KEY, or with another algorithm than its'
        + ' JWT_ALGORITHM. Build one with the right secret in the settings.';
}

function forbidden(doing, {token, usesCookie, is10}) {
    const cookie = usesCookie
        ? ` Or publishing by cookie is not allowed from here: start the hub with PUBLISH_ALLOWED_ORIGINS=${location.origin}, or send the token in the header.`
        : '';
    const isAccess = token ? isAccessToken(decode(token)) : is10;
    const orReserved = ' or a topic is the hub\'s own (/.well-known/mercure…).';
    switch (doing) {
        case 'publish': return (isAccess
            ? 'no entry with the action publish in the token\'s authorization_details matches every topic of this update,' + orReserved
            : usesTargets(false)
                ? 'the token is valid, but its mercure.publish does not list every target of this update (without the claim: none at all).'
                : 'either the token\'s mercure.publish has no selector for every topic of this update,' + orReserved) + cookie;
        case 'list': return isAccess
            ? 'the token is valid, but no entry with the action subscribe in its authorization_details matches the list. Add the'
                + ` pattern ${LIST_PATTERN}, or *.`
            : 'the token is valid, but its mercure.subscribe does not select the subscriptions. Add'
                + ` ${LIST_TEMPLATE}, or *.`;
        default: return 'the token is valid, but does not allow this. Look at its claims in the settings.';
    }
}
