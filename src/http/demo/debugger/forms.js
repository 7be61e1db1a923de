// What every form does: it says how it ended, and Ctrl+Enter sends it.

/** Does something for a form, and shows below it how it ended. */
async function run(outputId, work) {
    say(outputId, '', '…');
    try {
        say(outputId, 'good', await work());
    } catch (error) {
        if (!(error instanceof Failure)) console.warn(error);
        say(outputId, 'bad', error.message);
    }
}

function onSubmit(formId, outputId, work) {
    $(formId).addEventListener('submit', event => {
        event.preventDefault();
        run(outputId, work);
    });
}

document.addEventListener('keydown', event => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) event.target.form?.requestSubmit();
});
