// The entries of `authorization_details` in a token of 1.0: actions, matchers, and a payload.

const DETAIL_TYPE = 'https://mercure.rocks/authorization-detail';
const ACTIONS = ['publish', 'subscribe'];
const MATCHER_TYPES = {exact: 'the topic with this text, or *', urlpattern: 'a URL Pattern'};

/** The matchers of each shown entry. */
const rowsOfEntries = new WeakMap();

function entryOf(shown) {
    const topics = rowsOfEntries.get(shown).values.map(([type, match]) => type === 'exact' ? {match} : {match, match_type: type});
    const actions = [...shown.querySelectorAll('input[type=checkbox]:checked')].map(box => box.value);
    const payload = shown.querySelector('.payload').value.trim();
    return {type: DETAIL_TYPE, actions, topics, ...payload !== '' && {payload: JSON.parse(payload)}};
}

function showEntry({actions, topics, payload}) {
    const shown = $('entry').content.firstElementChild.cloneNode(true);
    const list = value => Array.isArray(value) ? value : [];
    for (const box of shown.querySelectorAll('input[type=checkbox]')) box.checked = list(actions).includes(box.value);
    const rows = new MatcherRows(shown.querySelector('.matchers'), MATCHER_TYPES);
    rows.values = list(topics).map(topic => [String(topic?.match_type ?? 'exact'), String(topic?.match ?? '')]);
    rowsOfEntries.set(shown, rows);
    shown.querySelector('.payload').value = payload === undefined ? '' : JSON.stringify(payload);
    shown.querySelector('.add').addEventListener('click', () => rows.add());
    shown.querySelector('.remove').addEventListener('click', () => {
        shown.remove();
        entriesChanged();
    });
    return shown;
}

const showEntries = entries => $('entries').replaceChildren(...entries.map(showEntry));

/** @throws SyntaxError if a payload is no JSON. */
const entriesNow = () => [...$('entries').children].map(entryOf);

const entriesChanged = () => $('entries').dispatchEvent(new Event('input', {bubbles: true}));

showEntries([{actions: ACTIONS, topics: [{match: '*'}]}]);
$('add-entry').addEventListener('click', () => {
    $('entries').append(showEntry({actions: ACTIONS, topics: [{match: ''}]}));
    entriesChanged();
});
