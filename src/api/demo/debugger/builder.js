// The token builder. Fields and claims update each other; claims without a field are kept.

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
    // An existing list is kept even if it is empty: with targets an empty list allows public
    // updates, a missing one allows nothing.
    const list = (text, before) => lines(text).length > 0 ? lines(text) : Array.isArray(before) ? [] : undefined;
    set(grants, 'publish', list($('may-publish').value, grants.publish));
    set(grants, 'subscribe', list($('may-subscribe').value, grants.subscribe));
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
    // The expiry time counts from the signature.
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
