// The beginning: what the fields hold at first.

const DEMO_KEY = '!ChangeThisMercureHubJWTSecretKey!';

for (const hint of document.querySelectorAll('.per-line')) {
    hint.textContent = authorizesByTargets ? 'targets, one per line' : 'selectors, one per line';
}
$('resource').value = new URL('/demo/books/1.jsonld', location).href;
$('secret').value = DEMO_KEY;
composeClaims();
restoreSettings();
