// Groups of events: what can be read can be written again and is the same then, and an engine that takes them
// from another node takes them or refuses them. The input is a group, or the payload of one with its checksum
// made right.
#include <string>

#include "engine/engine.h"
#include "engine/error.h"
#include "engine/event_codec.h"
#include "engine/replicated.h"
#include "tests/engine/event_group.h"
#include "tests/fuzz/fuzz.h"

namespace karma::test {
namespace {

// The same events as they are written here; nothing when the bytes are no group.
std::string written_again(std::string_view group) {
    EventGroupBuilder builder;
    try {
        read_event_group(group, [&](const Event& event) {
            (void)checksum_of(event);
            builder.add(event);
        });
    } catch (const CorruptionError&) {
        return {};
    }
    std::string bytes;
    if (!builder.empty()) {
        builder.finish(bytes);
    }
    return bytes;
}

void check_group(std::string_view group) {
    const std::string again = written_again(group);
    if (again.empty()) {
        return;
    }
    expect(written_again(again) == again, "what was read and written is read and written the same");
    NullSink sink;
    Engine engine(1, sink);
    try {
        read_event_group(again, [&](const Event& event) {
            if (event.lsn != engine.last_lsn() + 1) {
                engine.restore_last_lsn(event.lsn - 1);
            }
            engine.replicate(event);
        });
    } catch (const CorruptionError&) {}
    (void)engine.view().digest(NoDeadline());
}

}  // namespace

void run_input(std::string_view input) {
    check_group(input);
    check_group(group_of(input));
}

}  // namespace karma::test
