#include "replica/discarded.h"

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <memory>
#include <string>
#include <system_error>
#include <unistd.h>

#include "engine/event_codec.h"
#include "net/entry_writer.h"

namespace karma::replica {
namespace {

struct Close {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
};

}  // namespace

Discarded write_discarded(const Replicated& database, Lsn after_lsn,
                          const std::filesystem::path& directory) {
    std::filesystem::path path = directory / ("discarded-after-" + std::to_string(after_lsn) + "-" +
                                              std::to_string(database.now_ms()) + ".jsonl");
    const auto fail = [&](const char* what) {
        throw StorageError("cannot " + std::string(what) + " " + path.string() + ": " +
                           std::generic_category().message(errno));
    };
    const std::unique_ptr<std::FILE, Close> file(std::fopen(path.c_str(), "wxe"));
    if (file == nullptr) {
        fail("create");
    }
    Discarded written{path};
    std::string line;
    database.read_log(after_lsn + 1, [&](const EventGroup& group) {
        read_event_group(group.bytes, [&](const Event& event) {
            if (event.lsn <= after_lsn) {
                return;
            }
            if (written.events++ == 0) {
                written.first_lsn = event.lsn;
            }
            line.clear();
            net::append_event(event, line);
            line += '\n';
            if (std::fwrite(line.data(), 1, line.size(), file.get()) != line.size()) {
                fail("write");
            }
        });
        return true;
    });
    if (std::fflush(file.get()) != 0 || ::fsync(::fileno(file.get())) != 0) {
        fail("write");
    }
    const int folder = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0) {
        ::fsync(folder);
        ::close(folder);
    }
    return written;
}

}  // namespace karma::replica
