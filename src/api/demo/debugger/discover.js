// Discovery: a resource names its hub and its topic.

const RESOURCE_BYTES_MAX = 64 * 1024;
const RESOURCE_MS_MAX = 10_000;

/** The links of a header (RFC 8288, section 3). */
function parseLinks(header, base) {
    const links = header.matchAll(/<([^>]*)>((?:\s*;\s*[^\s=;,]+(?:\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s;,"]*))?)*)/g);
    return [...links].map(([text, target, parameters]) => {
        const rels = (attributeOf(parameters, 'rel') ?? '').toLowerCase().split(/\s+/);
        // An absolute target is kept as written: topics are compared byte by byte.
        const url = URL.canParse(target) ? target : URL.canParse(target, base) ? new URL(target, base).href : null;
        return {text, rels, url, lastEventId: attributeOf(parameters, 'last-event-id')};
    });
}

/** An attribute of a link; `name*` comes first (RFC 8187), for texts that no header can hold. */
function attributeOf(parameters, name) {
    const extended = new RegExp(`;\\s*${name}\\*\\s*=\\s*UTF-8''([^\\s;,"]+)`, 'i').exec(parameters)?.[1];
    try {
        if (extended !== undefined) return decodeURIComponent(extended);
    } catch {
        // It is no such text.
    }
    const found = new RegExp(`;\\s*${name}\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|([^\\s;,"]+))`, 'i').exec(parameters);
    return found?.[1]?.replace(/\\(.)/g, '$1') ?? found?.[2];
}

/**
 * A topic without the parameter `jwt`: the token is not part of its name; everything else is, as
 * written.
 */
function withoutToken(topic) {
    const [, before, query, fragment] = /^([^?#]*)(\?[^#]*)?(.*)$/s.exec(topic);
    const parts = (query ?? '').slice(1).split('&');
    const kept = parts.filter(part => !new URLSearchParams('&' + part).has('jwt'));
    if (kept.length === parts.length) return topic;
    return before + (kept.length > 0 ? '?' : '') + kept.join('&') + fragment;
}

/**
 * The start of a body: the resource may be an endless stream, so only the part that arrives in time
 * is kept.
 */
async function beginning(response) {
    let text = '';
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    try {
        while (reader && text.length < RESOURCE_BYTES_MAX) {
            const {done, value} = await reader.read();
            if (done) break;
            text += value;
        }
    } catch {
        // The result is in the head.
    }
    return text;
}

onSubmit('discover-form', 'discover-result', async () => {
    $('discovered').hidden = true;
    const url = webUrl($('resource').value, 'What is asked');
    showCode('discover', `curl -i ${curlUrl(url.href)}`,
        `const response = await fetch(${quoted(url.href)});\nconsole.log(response.headers.get("Link"));`);
    const isElsewhere = url.origin !== location.origin;
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), RESOURCE_MS_MAX);
    let response, body;
    try {
        // Without credentials: the playground would delete the cookie.
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
    const find = rel => links.find(link => link.rels.includes(rel) && link.url);
    const link = find('mercure');
    if (!link) {
        const hint = isElsewhere ? ' If it sends one, it has to let this page see it: Access-Control-Expose-Headers: Link.' : '';
        throw new Failure(`No Link header with rel="mercure": this resource names no hub.${hint}`);
    }
    const topic = withoutToken(find('self')?.url ?? response.url);
    const hub = webUrl(link.url, `The hub that this resource names (${link.url})`);
    const note = changeHub(hub);
    $('selectors').value = topic;
    matcherRows.values = [['match', topic]];
    $('topics').value = topic;
    // What the resource shows is the state after this update; the next ones are wanted.
    if (link.lastEventId) $('from-id').value = link.lastEventId;
    showUrl();
    return `Hub and topic are filled in: ${hub.href}, ${topic}.${note}`;
}
