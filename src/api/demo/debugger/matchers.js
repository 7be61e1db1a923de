// Rows of matchers: a kind and a text in each.

class MatcherRows {
    /** `kinds`: what can be chosen, with a description of each. Changes are `input` events of `list`. */
    constructor(list, kinds) {
        this.list = list;
        this.kinds = kinds;
    }

    /** Pairs of kind and text. */
    get values() {
        return [...this.list.children].map(row => [row.querySelector('select').value, row.querySelector('input').value]);
    }

    set values(values) {
        this.list.replaceChildren(...values.map(([kind, text]) => this.#row(kind, text)));
    }

    add() {
        const row = this.#row(Object.keys(this.kinds)[0], '');
        this.list.append(row);
        this.#changed();
        row.querySelector('input').focus();
    }

    #changed() {
        this.list.dispatchEvent(new Event('input', {bubbles: true}));
    }

    #row(kind, text) {
        const row = $('matcher-row').content.firstElementChild.cloneNode(true);
        const [select, input, button] = ['select', 'input', 'button'].map(name => row.querySelector(name));
        // What somebody wrote into the claims by hand stays.
        const kinds = kind in this.kinds ? this.kinds : {...this.kinds, [kind]: kind};
        select.append(...Object.entries(kinds).map(([value, title]) => element('option', {value, title}, value)));
        select.value = kind;
        input.value = text;
        button.addEventListener('click', () => {
            const next = row.nextElementSibling ?? row.previousElementSibling;
            row.remove();
            this.#changed();
            next?.querySelector('input').focus();
        });
        return row;
    }
}
