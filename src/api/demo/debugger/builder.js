// The token builder. Fields and claims update each other; claims without a field are kept.

function claimsNow() {
    try {
        const claims = JSON.parse($('claims').value);
        return isObject(claims) ? claims : {};
    } catch {
        return {};
    }
}

const setOrRemove = (object, name, value) => value === undefined ? delete object[name] : object[name] = value;

function composeClaims() {
    const claims = claimsNow();
    const minutes = Number($('expires').value);
    try {
        if (speaks10()) composeAccess(claims);
        else composeOlder(claims);
        say('builder-result', '', '');
    } catch {
        say('builder-result', 'bad', 'The payload is no JSON; a text needs quotes.');
    }
    setOrRemove(claims, 'exp', minutes > 0 ? Math.floor(Date.now() / 1000 + minutes * 60) : undefined);
    $('claims').value = JSON.stringify(claims, null, 2);
}

/** Claims of 0.x or 2019. */
function composeOlder(claims) {
    const grants = claims.mercure = {...claims.mercure};
    // An existing list is kept even if it is empty: with targets an empty list allows public
    // updates, a missing one allows nothing.
    const list = (text, before) => lines(text).length > 0 ? lines(text) : Array.isArray(before) ? [] : undefined;
    setOrRemove(grants, 'publish', list($('may-publish').value, grants.publish));
    setOrRemove(grants, 'subscribe', list($('may-subscribe').value, grants.subscribe));
    const payload = $('payload').value.trim();
    setOrRemove(grants, 'payload', payload === '' ? undefined : JSON.parse(payload));
}

/** Claims of 1.0. Entries of other types are kept. */
function composeAccess(claims) {
    const audiences = $('audience').value.split(/\s+/).filter(audience => audience !== '');
    setOrRemove(claims, 'iss', $('issuer').value || undefined);
    setOrRemove(claims, 'aud', audiences.length > 1 ? audiences : audiences[0]);
    const before = Array.isArray(claims.authorization_details) ? claims.authorization_details : [];
    claims.authorization_details = [...entriesNow(), ...before.filter(entry => entry?.type !== DETAIL_TYPE)];
}

function readClaims() {
    const {exp, mercure, iss, aud, authorization_details: details} = claimsNow();
    $('expires').value = typeof exp === 'number' ? Math.max(1, Math.round((exp - Date.now() / 1000) / 60)) : '';
    if (speaks10()) {
        $('issuer').value = typeof iss === 'string' ? iss : '';
        $('audience').value = [].concat(aud ?? []).join(' ');
        showEntries((Array.isArray(details) ? details : []).filter(entry => entry?.type === DETAIL_TYPE));
    } else {
        const list = value => Array.isArray(value) ? value.join('\n') : '';
        $('may-publish').value = list(mercure?.publish);
        $('may-subscribe').value = list(mercure?.subscribe);
        $('payload').value = mercure?.payload === undefined ? '' : JSON.stringify(mercure.payload);
    }
    isComposed = false;
}

/** After a change of the protocol: the claims of the other one go, and the fields give new ones. */
function exchangeClaims() {
    const claims = claimsNow();
    for (const name of speaks10() ? ['mercure'] : ['iss', 'aud', 'authorization_details']) delete claims[name];
    $('claims').value = JSON.stringify(claims);
    isComposed = true;
    composeClaims();
}

let isComposed = true;
for (const id of ['may-publish', 'may-subscribe', 'expires', 'payload', 'issuer', 'audience', 'entries']) {
    $(id).addEventListener('input', () => {
        isComposed = true;
        composeClaims();
    });
}
$('claims').addEventListener('input', readClaims);

onSubmit('builder-form', 'builder-result', async () => {
    // The expiry time counts from the signature.
    if (isComposed) composeClaims();
    let token;
    try {
        token = await sign($('claims').value, $('secret').value, $('algorithm').value, speaks10() ? 'at+jwt' : 'JWT');
    } catch (error) {
        throw error instanceof SyntaxError ? new Failure(`The claims are no JSON: ${error.message}`) : error;
    }
    $('token').value = token;
    settingsChanged();
    return 'Signed. It is the token of the settings now.';
});
