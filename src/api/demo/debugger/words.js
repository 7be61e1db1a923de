// Helpers: texts to and from the page, and quoting for the shown command lines.

const $ = id => document.getElementById(id);

/** The non-empty lines of a text. */
const lines = text => text.split('\n').map(line => line.trim()).filter(line => line !== '');

/** A word for a POSIX shell: between single quotes only the quote itself is special. */
const shell = text => /^[\w@%+=:,./-]+$/.test(text) ? text : "'" + text.replaceAll("'", "'\\''") + "'";

/** A URL for curl, which would read braces and brackets as a pattern. */
const curlUrl = url => (/[{}[\]]/.test(url) ? '-g ' : '') + shell(url);

/** A JavaScript string. */
const quoted = text => JSON.stringify(text);

/** An element with these properties and children. Data from the hub becomes text, never markup. */
function element(name, properties, ...children) {
    const made = document.createElement(name);
    Object.assign(made, properties);
    made.append(...children);
    return made;
}

/**
 * Longer and deeper texts are not indented, and are cut: each level indents every line within it
 * once more.
 */
const PRETTY_MAX = 100_000;
const PRETTY_DEPTH_MAX = 32;
const PRETTY_OUT_MAX = 400_000;
const SHOWN_MAX = 20_000;

/**
 * JSON, indented token by token, so that long numbers and repeated names stay unchanged; other text
 * is returned as it is.
 */
function pretty(text) {
    if (text.length > PRETTY_MAX || !/^\s*[[{]/.test(text)) return text;
    try {
        JSON.parse(text);
    } catch {
        return text;
    }
    let out = '';
    let depth = 0;
    let previous = '';
    const line = () => { out += '\n' + '  '.repeat(depth); };
    for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{}:,]|[^\s"[\]{}:,]+/g)) {
        const opened = previous === '{' || previous === '[';
        if (token === '}' || token === ']') {
            depth--;
            if (!opened) line();
        } else if (opened || previous === ',') {
            line();
        }
        if (token === '{' || token === '[') depth++;
        out += token === ':' ? ': ' : token;
        if (depth > PRETTY_DEPTH_MAX || out.length > PRETTY_OUT_MAX) return text;
        previous = token;
    }
    return out;
}

function cut(text) {
    return text.length <= SHOWN_MAX ? text : text.slice(0, SHOWN_MAX) + `\n… ${text.length - SHOWN_MAX} more characters`;
}

/** Shows a result: `kind` is good, bad, or empty. */
function say(id, kind, text) {
    const output = $(id);
    output.dataset.kind = kind;
    output.textContent = text;
}

/** Shows the last action as a command line and as a program. */
function showCode(sectionId, curl, javascript) {
    const section = $(sectionId);
    let details = section.querySelector('details.code');
    if (!details) {
        details = $('code').content.firstElementChild.cloneNode(true);
        const [copyCurl, copyJavascript] = details.querySelectorAll('button');
        const [curlText, javascriptText] = details.querySelectorAll('pre');
        const copy = (button, from) => button.addEventListener('click', async () => {
            try {
                await navigator.clipboard.writeText(from.textContent);
                button.textContent = 'Copied';
            } catch {
                getSelection().selectAllChildren(from);
                button.textContent = 'Selected';
            }
            setTimeout(() => { button.textContent = 'Copy'; }, 2000);
        });
        copy(copyCurl, curlText);
        copy(copyJavascript, javascriptText);
        section.querySelector('.result').after(details);
    }
    const [curlText, javascriptText] = details.querySelectorAll('pre');
    curlText.textContent = curl;
    javascriptText.textContent = javascript;
}
