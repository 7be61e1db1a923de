// The publish form.

function updateFields() {
    const fields = lines($('topics').value).map(topic => ['topic', topic]);
    const hasTargets = usesTargets(speaks10());
    const add = (name, value) => value !== '' && fields.push([name, value]);
    if (hasTargets) fields.push(['data', $('data').value]);
    else add('data', $('data').value);
    if (hasTargets) lines($('targets').value).forEach(target => add('target', target));
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
    const mediaType = response.headers.get('Content-Type') ?? 'text/plain';
    if (!mediaType.startsWith('text/plain')) throw new Failure(`This URL answers with ${mediaType}, not with an id: is it the hub's?`);
    return `Published as ${await response.text()}`;
});

function showPublish(settings, fields) {
    const origin = settings.usesCookie ? ` -H ${shell(`Origin: ${location.origin}`)}` : '';
    const parts = fields.map(([name, value]) => ` --data-urlencode ${shell(`${name}=${value}`)}`);
    const curl = [`curl${curlToken(settings)}${origin}`, ...parts, ` ${curlUrl(settings.hub)}`].join(' \\\n   ');
    const how = settings.usesCookie ? '    credentials: "include",\n'
        : settings.token ? `    headers: {Authorization: ${quoted('Bearer ' + settings.token)}},\n` : '';
    const list = fields.map(([name, value]) => `        [${quoted(name)}, ${quoted(value)}],\n`).join('');
    const javascript = `const response = await fetch(${quoted(settings.hub)}, {\n    method: "POST",\n${how}`
        + `    body: new URLSearchParams([\n${list}    ]),\n});\nconsole.log(response.status, await response.text());`;
    showCode('publish', curl, javascript);
}
