// Start: the initial values of the fields.

const DEMO_KEY = '!ChangeThisMercureHubJWTSecretKey!';

for (const hint of document.querySelectorAll('.per-line')) {
    hint.textContent = isOlderOf2019 ? 'targets, one per line' : 'selectors, one per line';
}
$('older-name').textContent = OLDER;
$('resource').value = new URL('/demo/books/1.jsonld', location).href;
$('secret').value = DEMO_KEY;
restoreSettings();
// Jump targets must appear below the head, whose height depends on its content.
const head = document.querySelector('header');
new ResizeObserver(() => { document.documentElement.style.scrollPaddingTop = `${head.offsetHeight + 8}px`; }).observe(head);
