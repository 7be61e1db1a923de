// The beginning: what the fields hold at first.

const DEMO_KEY = '!ChangeThisMercureHubJWTSecretKey!';

for (const hint of document.querySelectorAll('.per-line')) {
    hint.textContent = authorizesByTargets ? 'targets, one per line' : 'selectors, one per line';
}
$('resource').value = new URL('/demo/books/1.jsonld', location).href;
$('secret').value = DEMO_KEY;
composeClaims();
restoreSettings();
// What is jumped to stands below the head, which is as high as what it has to say.
const head = document.querySelector('header');
new ResizeObserver(() => { document.documentElement.style.scrollPaddingTop = `${head.offsetHeight + 8}px`; }).observe(head);
