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

/** Signs claims, given as JSON text. `typ` says of which protocol the token is. */
async function sign(claims, secret, algorithm, typ) {
    const is10 = typ !== 'JWT';
    if (!globalThis.crypto?.subtle) {
        throw new Failure('Browsers sign on https:// and on localhost only. Use the command line instead: petasos token'
            + (is10 ? " --publish-match '*' --subscribe-match '*'" : " --publish '*' --subscribe '*'"));
    }
    if (secret === '') throw new Failure(`The secret is empty: enter ${is10 ? "the issuer's key" : "the hub's JWT_KEY"}.`);
    const encoder = new TextEncoder();
    const parts = [{alg: algorithm, typ}, JSON.parse(claims)];
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

/** Whether it is a token of 1.0, which its signed header says (RFC 9068, section 4). */
const isAccessToken = decoded => /^(application\/)?at\+jwt$/i.test(decoded?.header?.typ ?? '');

/** The claim with the long name takes precedence, whatever its value. */
const grantsOf = claims => {
    const {mercure, 'https://mercure.rocks/': namespaced = mercure} = claims ?? {};
    return namespaced;
};

const isObject = value => value !== null && typeof value === 'object' && !Array.isArray(value);

const isList = value => Array.isArray(value) && value.every(member => typeof member === 'string');

const when = seconds => new Date(seconds * 1000).toLocaleString();

/** A fault of the token that is visible without its key; empty if there is none. */
function faultOf(token) {
    const decoded = decode(token);
    const now = Date.now() / 1000;
    if (!isObject(decoded?.header) || !isObject(decoded.claims)) return 'This is no token: a JWT has three parts, separated by dots.';
    const {exp, nbf} = decoded.claims;
    const undated = Object.entries({exp, nbf}).find(([, date]) => date !== undefined && typeof date !== 'number');
    if (undated) return `"${undated[0]}" of the token has to be a number of seconds.`;
    if (typeof exp === 'number' && exp <= now) return `The token expired at ${when(exp)}.`;
    if (typeof nbf === 'number' && nbf > now) return `The token is valid from ${when(nbf)} on only.`;
    if (isAccessToken(decoded)) return faultOfAccess(decoded.claims);
    if (known.hasOlder === false) return 'This token is one of 0.x, and the hub speaks 1.0 alone.';
    const grants = grantsOf(decoded.claims);
    if (!grants) return 'The token has no claim "mercure", so it allows nothing.';
    if (typeof grants !== 'object' || Array.isArray(grants)) return 'The claim "mercure" of the token has to be an object.';
    const wrong = ['publish', 'subscribe'].find(name => grants[name] != null && !isList(grants[name]));
    return wrong ? `"${wrong}" in the claim "mercure" of the token has to be a list of texts, such as ["*"].` : '';
}

/** The same for the claims of a token of 1.0. */
function faultOfAccess({exp, iss, aud, authorization_details: details = []}) {
    const audiences = [].concat(aud ?? []);
    if (known.has10 === false) return 'This token is one of 1.0, which the hub does not speak.';
    if (exp === undefined) return 'The token has no "exp", and in 1.0 every token ends.';
    if (typeof iss !== 'string') return 'The token has no "iss", the name of its issuer.';
    if (audiences.length === 0) return 'The token has no "aud", the name of the hub that it is for.';
    if (known.audience && !audiences.includes(known.audience)) {
        return `The token is for ${audiences.join(', ')}, and the name of this hub is ${known.audience} ("aud").`;
    }
    if (!Array.isArray(details)) return '"authorization_details" of the token has to be a list of entries.';
    return details.map(faultOfEntry).find(fault => fault !== '') ?? '';
}

/** One entry that is wrong makes the whole token invalid. */
function faultOfEntry(entry, index) {
    const wrong = text => `Entry ${index + 1} of "authorization_details" in the token ${text}`;
    if (typeof entry?.type !== 'string') return wrong('has to be an object with a "type".');
    if (entry.type !== DETAIL_TYPE) return '';
    const {actions, topics} = entry;
    if (!isList(actions) || actions.length === 0) return wrong('needs "actions", such as ["subscribe"].');
    if (!Array.isArray(topics) || topics.length === 0) return wrong('needs "topics", such as [{"match": "*"}].');
    const match = topics.find(topic => typeof topic?.match !== 'string' || topic.match === '');
    if (match !== undefined) return wrong('has a topic without "match", which has to be a text.');
    const type = topics.find(({match_type: type = 'exact'}) => !(type in MATCHER_TYPES));
    return type ? wrong(`has the "match_type" ${JSON.stringify(type.match_type)}: it can be exact or urlpattern.`) : '';
}

/** What the entries of a token of 1.0 grant for an action. */
function grantedBy(details, action) {
    const entries = (details ?? []).filter(({type, actions}) => type === DETAIL_TYPE && actions.includes(action));
    const texts = entries.flatMap(({topics}) => topics).map(({match, match_type: type}) =>
        type === 'urlpattern' && match !== '*' ? `${match} (pattern)` : match);
    return [...new Set(texts)];
}

/** A sentence about a non-empty token. */
function describe(token) {
    const fault = faultOf(token);
    if (fault) return fault;
    const decoded = decode(token);
    const {header, claims} = decoded;
    const list = value => value?.length > 0 ? value.join(', ') : 'nothing';
    const end = typeof claims.exp === 'number' ? `until ${when(claims.exp)}` : 'without end';
    if (isAccessToken(decoded)) {
        const [publish, subscribe] = ACTIONS.map(action => list(grantedBy(claims.authorization_details, action)));
        return `1.0, ${header.alg}, ${end}. May publish: ${publish}. May receive: ${subscribe}.`;
    }
    const grants = grantsOf(claims);
    // In 2019 a list of targets, even an empty one, allowed public updates, too.
    const publish = usesTargets(false) && grants.publish
        ? [...grants.publish.length > 0 ? [`for ${list(grants.publish)}`] : [], 'for all'].join(', ')
        : list(grants.publish);
    return `${header.alg}, ${end}. May publish: ${publish}. May receive: ${list(grants.subscribe)}.`;
}
