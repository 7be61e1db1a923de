// Settings: kept for this tab only, without the secret.

const HUB_PATH = '/.well-known/mercure';
const STORED = 'petasos';

/**
 * The token that was set when a resource named a hub of another origin. It is sent to that hub only
 * after the user agrees.
 */
let aside = '';

const originOf = text => URL.canParse(text) ? new URL(text).origin : '';

function access() {
    const url = webUrl($('hub').value, 'The hub URL in the settings');
    const token = $('token').value.replaceAll(/\s/g, '');
    if (/[^\x21-\x7e]/.test(token)) throw new Failure('The token in the settings holds characters that no token has.');
    const usesCookie = document.querySelector('input[name=carrier]:checked').value === 'cookie';
    return {hub: url.href, token, usesCookie, isOwnHub: url.origin === location.origin, is10: speaks10()};
}

/**
 * The fetch options that send the token as the settings say. On this page's own hub, sets the
 * cookie first.
 */
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
        const protocol = speaks10() ? '1.0' : 'older';
        sessionStorage.setItem(STORED, JSON.stringify({hub: $('hub').value, token, carrier, protocol}));
    } catch {
        // Without storage, the settings are lost with the page.
    }
    $('token-says').textContent = token ? describe(token) : 'None: updates that are public can be received, if the hub allows it.';
    const decoded = token ? decode(token) : null;
    $('decoded').hidden = !decoded;
    $('decoded-claims').textContent = decoded ? JSON.stringify(decoded, null, 2) : '';
    $('cookie-help').hidden = carrier !== 'cookie';
    if (token) aside = '';
    $('use-aside').hidden = !aside;
    $('use-aside').textContent = `Send the token that was set aside to ${originOf($('hub').value)}`;
    $('cookie-says').textContent = originOf($('hub').value) === location.origin
        ? 'The token above is put into the cookie before each request; without one, a cookie that is there is used.'
        : "The cookie of another hub has to be set by that hub's own site. This page sends it, and cannot set it.";
}

/** The URL of the hub about which `known` is. */
let knownHub = '';

/**
 * Learns what the hub of the settings speaks. The protocol changes with a hub that does not speak
 * the one that was chosen.
 */
async function hubChanged() {
    const text = $('hub').value;
    if (text === knownHub || !URL.canParse(text)) return;
    const hub = new URL(text);
    if (!['http:', 'https:'].includes(hub.protocol)) return;
    knownHub = text;
    const isOwnHub = hub.origin === location.origin;
    if (!isOwnHub) {
        known = NOTHING_KNOWN;
        $('protocol-says').textContent = '…';
    }
    const answer = await askHub(hub);
    // Meanwhile it may have become another one.
    if (knownHub !== text) return;
    known = answer;
    $('protocol-says').textContent = spokenBy(known, isOwnHub);
    // Of another hub, a proxy may hide the metadata.
    $('speaks-10').disabled = isOwnHub && !known.has10;
    $('speaks-older').disabled = isOwnHub && !known.hasOlder;
    if (known.audience) $('audience').value = known.audience;
    if (isOwnHub) $('issuer').value = own.issuer;
    if (speaks10() && known.has10 === false) chooseProtocol(false);
    else if (!speaks10() && known.hasOlder === false) chooseProtocol(true);
    protocolChanged();
}

function protocolChanged() {
    showProtocol();
    exchangeClaims();
    showUrl();
    showMatchExample();
    settingsChanged();
}

/**
 * Changes to a hub named by a resource: a token is sent only to the origin for which it was
 * entered. Returns notes on the changes.
 */
function changeHub(hub) {
    const token = $('token').value;
    const leaves = originOf($('hub').value) !== hub.origin;
    const header = document.querySelector('input[name=carrier][value=header]');
    const notes = [];
    $('hub').value = hub.href;
    if (leaves && token !== '') {
        $('token').value = '';
        aside = token;
        notes.push(' This hub is of another origin than the one before, so the token is set aside: see the settings.');
    }
    // Cookies do not depend on the port, so all hubs of a host would receive them.
    if (leaves && !header.checked) {
        header.checked = true;
        notes.push(' The token goes into the header now, because a cookie of this site might go to that hub.');
    }
    settingsChanged();
    hubChanged();
    return notes.join('');
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
    chooseProtocol(stored.protocol ? stored.protocol === '1.0' : ownProtocols.includes('08'));
    $('audience').value = own.audience;
    $('issuer').value = own.issuer;
    protocolChanged();
    hubChanged();
}

$('settings-form').addEventListener('input', settingsChanged);
$('hub').addEventListener('change', hubChanged);
$('protocols').addEventListener('change', protocolChanged);
$('settings-form').addEventListener('submit', event => event.preventDefault());
$('use-aside').addEventListener('click', () => {
    $('token').value = aside;
    settingsChanged();
});
$('forget-cookie').addEventListener('click', () => run('cookie-result', async () => {
    await setCookie('');
    return 'The cookie of this hub is removed.';
}));
