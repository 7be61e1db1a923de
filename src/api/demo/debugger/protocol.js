// The protocol that the page speaks: 1.0, or the older one, which is 0.x, or 2019 where this hub
// speaks that.

const own = document.documentElement.dataset;
const ownProtocols = own.protocols.split(' ');
/** Tokens of the 2019 protocol list targets, those of 0.x selectors. */
const isOlderOf2019 = ownProtocols.includes('04');
const OLDER = isOlderOf2019 ? '2019' : '0.x';

const speaks10 = () => $('speaks-10').checked;
const usesTargets = is10 => isOlderOf2019 && !is10;

/** The parameter of the last event id. */
const cursorName = is10 => is10 ? 'last_event_id' : 'lastEventID';

const NOTHING_KNOWN = {has10: null, hasOlder: null, audience: null, foreignName: null, cookie: null};
/** What is known of the hub of the settings: `null` for what is not. */
let known = NOTHING_KNOWN;

const METADATA_MS_MAX = 10_000;
const METADATA_PATH = '/.well-known/oauth-protected-resource';

/**
 * What the protected resource metadata say (RFC 9728). A hub without 1.0 has none. Whether a hub
 * speaks an older protocol, they do not say. A name of another origin is not taken as the audience
 * (section 3.3): a hub could have tokens made that are for another one.
 */
async function askHub(hub) {
    if (hub.origin === location.origin) {
        const has10 = ownProtocols.includes('08');
        const hasOlder = ownProtocols.some(protocol => protocol !== '08');
        return {...NOTHING_KNOWN, has10, hasOlder, audience: own.audience, cookie: own.accessTokenCookie};
    }
    try {
        const url = new URL(METADATA_PATH + hub.pathname.replace(/\/$/, ''), hub);
        const response = await fetch(url, {credentials: 'omit', signal: AbortSignal.timeout(METADATA_MS_MAX)});
        if (response.status === 404) return {...NOTHING_KNOWN, has10: false, hasOlder: true};
        const {resource, mercure_cookie: cookie} = await response.json();
        if (typeof resource !== 'string') return NOTHING_KNOWN;
        const isItsOwn = originOf(resource) === hub.origin;
        return {...NOTHING_KNOWN, has10: true, cookie, [isItsOwn ? 'audience' : 'foreignName']: resource};
    } catch {
        return NOTHING_KNOWN;
    }
}

function spokenBy({has10, hasOlder, foreignName}, isOwnHub) {
    const hub = isOwnHub ? 'This hub' : 'That hub';
    if (has10 && hasOlder) return `${hub} speaks 1.0 and ${OLDER}.`;
    if (has10 && isOwnHub) return `${hub} speaks 1.0 alone.`;
    const note = foreignName ? ` It says that its name is ${cut(foreignName)}: enter this as the audience if you trust it.` : '';
    if (has10) return `${hub} speaks 1.0, and perhaps an older protocol, too.${note}`;
    if (has10 === false) return isOwnHub ? `${hub} speaks ${OLDER} alone.` : `${hub} does not speak 1.0: it has no metadata.`;
    return `Whether ${hub.toLowerCase()} speaks 1.0 is not known: its metadata cannot be read.`;
}

/** Shows the parts of the page that belong to the protocol. */
function showProtocol() {
    const now = speaks10() ? '1.0' : 'older';
    for (const part of document.querySelectorAll('[data-speaks]')) {
        // Of a form, what is hidden must not keep it from being sent.
        part.hidden = part.disabled = part.dataset.speaks !== now;
    }
    for (const part of document.querySelectorAll('.with-targets')) part.hidden = !usesTargets(speaks10());
    for (const part of document.querySelectorAll('.without-targets')) part.hidden = usesTargets(speaks10());
}

function chooseProtocol(is10) {
    $(is10 ? 'speaks-10' : 'speaks-older').checked = true;
    showProtocol();
}
