# shellcheck shell=bash disable=SC2154
# Sourced by tests/run: counts the tests of a stage by what the stage has printed, and sums up.
#
# A suite of cargo prints "test result: …". In a script a test begins with a line "-- NAME" and ends with the next one; a line
# "SKIPPED: REASON" says that it was not made, and "MISSING: REASON" that it, or a group of tests that cargo leaves out, was not
# made for lack of a program or of root. What prepares tests, and is none, is a line "-- preparing: …" or "-- tool: …".

all_passed=0
all_failed=0
all_skipped=0
rows=()
failed_stages=()
reasons=()
is_something_missing=0

duration() {
    if [ "$1" -ge 60 ]; then printf '%d min %02d s' $(($1 / 60)) $(($1 % 60)); else printf '%d s' "$1"; fi
}

# count LOG STATUS: passed, failed and skipped tests.
count() {
    LC_ALL=C awk -v status="$2" '
        function close_test() { if (open) { if (skipped_here) skipped++; else passed++ } open = 0; skipped_here = 0 }
        /^running [0-9]+ tests?$/ { suites++ }
        /^test result: / {
            suites--
            for (i = 1; i < NF; i++) {
                word = $(i + 1); sub(/;.*/, "", word)
                if (word == "passed") passed += $i
                else if (word == "failed") failed += $i
                else if (word == "ignored") skipped += $i
                else if (word == "filtered") left_out += $i
            }
        }
        /^-- (preparing|tool): / { close_test(); next }
        /^-- / { close_test(); open = 1; next }
        # A Rust test that skips itself has passed for cargo.
        /^SKIPPED: / { if (open) skipped_here = 1; else skipped_itself++ }
        /^MISSING: / { if (open) skipped_here = 1; else missing = 1 }
        END {
            if (missing) skipped += left_out
            passed -= skipped_itself
            skipped += skipped_itself
            # A suite that has no result was aborted.
            failed += suites
            if (status != 0 && failed == 0) { failed++; open = 0 }
            close_test()
            printf "%d %d %d\n", passed, failed, skipped
        }' "$1"
}

count_stage() {
    local stage=$1 status=$2 log=$3 seconds=$4 passed failed skipped verdict=passed
    read -r passed failed skipped < <(count "$log" "$status")
    if [ "$status" = 0 ] && [ $((passed + failed + skipped)) = 0 ]; then
        echo "no test was run" >>"$log"
        status=1
        failed=1
    fi
    if [ "$status" != 0 ]; then
        verdict=FAILED
        failed_stages+=("$stage")
        echo "   FAILED, exit status $status; the end of $log:"
        tail -n 40 "$log" | sed 's/^/   | /'
    fi
    local reason
    while IFS= read -r reason; do
        reasons+=("$stage: $reason")
        case $reason in MISSING:*) is_something_missing=1 ;; esac
    done < <(grep -aE '^(SKIPPED|MISSING): ' "$log" | sort -u)
    all_passed=$((all_passed + passed))
    all_failed=$((all_failed + failed))
    all_skipped=$((all_skipped + skipped))
    rows+=("$(printf '%-8s %-10s %5d passed %4d failed %4d skipped   %s' "$verdict" "$stage" "$passed" "$failed" "$skipped" "$(duration "$seconds")")")
    echo "   $verdict: $passed passed, $failed failed, $skipped skipped, in $(duration "$seconds")"
}

# skip_stage STAGE REASONS: a whole stage, for lack of programs; it counts as one test.
skip_stage() {
    local reason
    is_something_missing=1
    all_skipped=$((all_skipped + 1))
    echo "   SKIPPED, missing:"
    while IFS= read -r reason; do
        echo "      $reason"
        reasons+=("$1: MISSING: $reason")
    done <<<"$2"
    rows+=("$(printf '%-8s %-10s' skipped "$1")")
}

summary() {
    echo "== summary, after $(duration "$SECONDS"); the output of each stage is in $logs/STAGE.log"
    printf '%s\n' "${rows[@]}"
    if [ ${#reasons[@]} -gt 0 ]; then
        echo "skipped:"
        printf '   %s\n' "${reasons[@]}"
    fi
    local stage
    for stage in "${failed_stages[@]}"; do
        echo "failed: $stage"
        # The failed tests and why: those that cargo lists, or the last one that a script began.
        if grep -a '^test .* FAILED$' "$logs/$stage.log" | sed 's/^/   /'; then
            grep -a -A 2 '^thread .* panicked at ' "$logs/$stage.log" | cut -c 1-400 | head -n 30 | sed 's/^/   | /' || true
        else
            grep -a '^-- ' "$logs/$stage.log" | tail -n 1 | sed 's/^/   /' || true
            tail -n 8 "$logs/$stage.log" | cut -c 1-1000 | sed 's/^/   | /'
        fi
        echo "   again, alone: tests/run$([ "$long" = 0 ] || echo " --long") $stage"
    done
    echo "$all_passed passed, $all_failed failed, $all_skipped skipped"
    if [ ${#failed_stages[@]} -gt 0 ]; then exit 1; fi
    if [ "$is_something_missing" = 1 ]; then exit 3; fi
    exit 0
}
