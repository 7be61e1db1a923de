// Selectors, checked with the hub's own matcher.

const KINDS = {
    any: 'It selects every topic.',
    exact: 'It is no URI Template, so it selects the topic that is the same text.',
    template: 'It is a URI Template.',
};

onSubmit('match-form', 'match-result', async () => {
    $('matches').replaceChildren();
    const settings = access();
    const url = apiUrl(settings.hub, 'match');
    url.searchParams.append('selector', $('match-selector').value);
    for (const topic of lines($('match-topics').value)) url.searchParams.append('topic', topic);
    showCode('match', `curl ${curlUrl(url.href)}`, `console.log(await (await fetch(${quoted(url.href)})).json());`);
    let response;
    try {
        response = await fetch(url, {credentials: 'omit'});
    } catch {
        throw unreachable(url, false);
    }
    if (!response.ok) throw await refused(response, 'match', settings);
    const {kind, topics} = await jsonOf(response, answer => Array.isArray(answer?.topics));
    $('matches').replaceChildren(...topics.map(({topic, matches}) => element('li', {className: matches ? 'yes' : 'no'},
        element('strong', {}, matches ? '✓ selected' : '✗ not selected'), element('code', {}, topic))));
    return `${topics.filter(({matches}) => matches).length} of ${topics.length} selected. ${KINDS[kind] ?? ''}`;
});
