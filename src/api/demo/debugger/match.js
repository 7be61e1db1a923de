// Selectors, checked with the hub's own matcher.

const KINDS = {
    any: 'It selects every topic.',
    exact: 'It is no URI Template, so it selects the topic that is the same text.',
    template: 'It is a URI Template.',
    pattern: 'It is a URL Pattern.',
};
const MATCHERS = {selector: 'https://example.com/books/{id}', match: 'https://example.com/books/1', match_urlpattern: 'https://example.com/books/:id'};

/** An example in the field follows the protocol and the kind; what somebody has written stays. */
function showMatchExample() {
    if (!Object.values(MATCHERS).includes($('match-selector').value)) return;
    $('match-kind').value = speaks10() ? 'match_urlpattern' : 'selector';
    $('match-selector').value = MATCHERS[$('match-kind').value];
}
$('match-kind').addEventListener('change', () => {
    if (Object.values(MATCHERS).includes($('match-selector').value)) $('match-selector').value = MATCHERS[$('match-kind').value];
});

onSubmit('match-form', 'match-result', async () => {
    $('matches').replaceChildren();
    const settings = access();
    const url = apiUrl(settings.hub, 'match');
    url.searchParams.append($('match-kind').value, $('match-selector').value);
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
    const kindSays = kind === 'exact' && $('match-kind').value !== 'selector' ? 'It selects the topic that is the same text.' : KINDS[kind] ?? '';
    $('matches').replaceChildren(...topics.map(({topic, matches}) => element('li', {className: matches ? 'yes' : 'no'},
        element('strong', {}, matches ? '✓ selected' : '✗ not selected'), element('code', {}, topic))));
    return `${topics.filter(({matches}) => matches).length} of ${topics.length} selected. ${kindSays}`;
});
