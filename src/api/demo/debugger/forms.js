// Common to all forms: they show their result, and Ctrl+Enter submits them.

/** Runs the action of a form, and shows the result below it. */
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
