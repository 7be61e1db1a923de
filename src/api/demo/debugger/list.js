// The live list: newest updates first, at most UPDATES_MAX, drawn in batches so that a flood does
// not block the page.

const UPDATES_MAX = 500;
const DRAW_EVERY_MS = 50;

class LiveList {
    #waiting = [];
    #timer = 0;
    #received = 0;
    #dropped = 0;
    #counted = 0;
    isPaused = false;

    constructor(list, count, filter) {
        this.list = list;
        this.count = count;
        this.filter = filter;
        filter.addEventListener('input', () => {
            for (const item of list.children) this.#sift(item);
            this.#tell();
        });
    }

    add(event) {
        this.#received++;
        this.#waiting.push({...event, at: new Date()});
        if (this.#waiting.length > UPDATES_MAX) {
            this.#waiting.shift();
            this.#dropped++;
        }
        this.#timer ||= setTimeout(() => this.#draw(), DRAW_EVERY_MS);
    }

    pause(isPaused) {
        this.isPaused = isPaused;
        this.#draw();
    }

    clear() {
        this.#waiting = [];
        this.#received = this.#dropped = 0;
        this.list.replaceChildren();
        this.#tell();
    }

    #draw() {
        clearTimeout(this.#timer);
        this.#timer = 0;
        if (!this.isPaused) {
            const events = this.#waiting;
            this.#waiting = [];
            this.list.prepend(...events.map(event => this.#item(event)).reverse());
            while (this.list.childElementCount > UPDATES_MAX) {
                this.list.lastElementChild.remove();
                this.#dropped++;
            }
        }
        this.#tell();
    }

    /**
     * An update that cannot be shown must not keep the updates with it and after it from the list.
     */
    #item(event) {
        let item;
        try {
            item = this.#shown(event);
        } catch (error) {
            console.warn(error);
            item = element('li', {}, element('p', {}, 'an update that this page cannot show'));
        }
        this.#sift(item);
        return item;
    }

    #shown({id, type, data, at}) {
        const time = element('time', {dateTime: at.toISOString()},
            at.toLocaleTimeString([], {hour12: false}) + '.' + String(at.getMilliseconds()).padStart(3, '0'));
        const head = element('p', {}, element('span', {className: 'type'}, type), time,
            element('code', {className: 'id', title: 'event id'}, id ?? 'no id'));
        const text = pretty(data);
        return element('li', {}, head, element('pre', {className: text === '' ? 'empty' : ''}, text === '' ? 'no data' : cut(text)));
    }

    /**
     * Filters by the shown text, except the time. The full data is not kept, because it may be
     * long.
     */
    #sift(item) {
        const wanted = this.filter.value.toLowerCase();
        const parts = [...item.querySelectorAll('.type, .id, pre')];
        item.hidden = wanted !== '' && !parts.some(part => part.textContent.toLowerCase().includes(wanted));
    }

    /** At most once a second, because screen readers read it aloud. */
    #tell() {
        const wait = this.#counted + 1_000 - Date.now();
        if (wait > 0) {
            clearTimeout(this.told);
            this.told = setTimeout(() => this.#tell(), wait);
            return;
        }
        this.#counted = Date.now();
        const hidden = this.list.querySelectorAll('li[hidden]').length;
        const parts = [this.#received === 0 ? 'none yet' : `${this.#received} received`];
        if (hidden > 0) parts.push(`${hidden} filtered out`);
        if (this.#dropped > 0) parts.push(`${this.#dropped} older ones dropped`);
        if (this.isPaused) parts.push(`paused, ${this.#waiting.length} waiting`);
        this.count.textContent = parts.join(' · ');
    }
}
