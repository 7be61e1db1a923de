// Tokens: JWS compact JWTs, signed with a shared secret in the browser, and decoded without
// verification.

const HASHES = {HS256: 'SHA-256', HS384: 'SHA-384', HS512: 'SHA-512'};

function base64url(bytes) {
    return btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

function fromBase64url(text) {
    const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
    return new TextDecoder('utf-8', {fatal: true}).decode(Uint8Array.from(binary, c => c.charCodeAt(0)));
}

/** Signs claims, given as JSON text. */
async function sign(claims, secret, algorithm) {
    if (!globalThis.crypto?.subtle) {
        throw new Failure('Browsers sign on https:// and on localhost only. Use the command line instead:'
            + " petasos token --publish '*' --subscribe '*'");
    }
    if (secret === '') throw new Failure("The secret is empty: enter the hub's JWT_KEY.");
    const encoder = new TextEncoder();
    const parts = [{alg: algorithm, typ: 'JWT'}, JSON.parse(claims)];
    const input = parts.map(part => base64url(encoder.encode(JSON.stringify(part)))).join('.');
    const use = {name: 'HMAC', hash: HASHES[algorithm]};
    const key = await crypto.subtle.importKey('raw', encoder.encode(secret), use, false, ['sign']);
    const signature = new Uint8Array(await crypto.subtle.sign('HMAC', key, encoder.encode(input)));
    return `${input}.${base64url(signature)}`;
}

/** Header and claims of a token, or null. */
function decode(token) {
    try {
        const [header, claims, signature, ...rest] = token.split('.');
        if (signature === undefined || rest.length > 0) return null;
        return {header: JSON.parse(fromBase64url(header)), claims: JSON.parse(fromBase64url(claims))};
    } catch {
        return null;
    }
}

/** The claim with the long name takes precedence, whatever its value. */
const grantsOf = claims => {
    const {mercure, 'https://mercure.rocks/': namespaced = mercure} = claims ?? {};
    return namespaced;
};

const isList = value => Array.isArray(value) && value.every(member => typeof member === 'string');

const when = seconds => new Date(seconds * 1000).toLocaleString();

/** A fault of the token that is visible without its key; empty if there is none. */
function faultOf(token) {
    const decoded = decode(token);
    const now = Date.now() / 1000;
    const isObject = value => value !== null && typeof value === 'object' && !Array.isArray(value);
    if (!isObject(decoded?.header) || !isObject(decoded.claims)) return 'This is no token: a JWT has three parts, separated by dots.';
    const {exp, nbf} = decoded.claims;
    const undated = Object.entries({exp, nbf}).find(([, date]) => date !== undefined && typeof date !== 'number');
    if (undated) return `"${undated[0]}" of the token has to be a number of seconds.`;
    if (typeof exp === 'number' && exp <= now) return `The token expired at ${when(exp)}.`;
    if (typeof nbf === 'number' && nbf > now) return `The token is valid from ${when(nbf)} on only.`;
    const grants = grantsOf(decoded.claims);
    if (!grants) return 'The token has no claim "mercure", so it allows nothing.';
    if (typeof grants !== 'object' || Array.isArray(grants)) return 'The claim "mercure" of the token has to be an object.';
    const wrong = ['publish', 'subscribe'].find(name => grants[name] != null && !isList(grants[name]));
    return wrong ? `"${wrong}" in the claim "mercure" of the token has to be a list of texts, such as ["*"].` : '';
}

/** A sentence about a non-empty token. */
function describe(token) {
    const fault = faultOf(token);
    if (fault) return fault;
    const {header, claims} = decode(token);
    const grants = grantsOf(claims);
    const list = value => value?.length > 0 ? value.join(', ') : 'nothing';
    // In 2019 a list of targets, even an empty one, allowed public updates, too.
    const publish = authorizesByTargets && grants.publish
        ? [...grants.publish.length > 0 ? [`for ${list(grants.publish)}`] : [], 'for all'].join(', ')
        : list(grants.publish);
    const end = typeof claims.exp === 'number' ? `until ${when(claims.exp)}` : 'without end';
    return `${header.alg}, ${end}. May publish: ${publish}. May receive: ${list(grants.subscribe)}.`;
}
