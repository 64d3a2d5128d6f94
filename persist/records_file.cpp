#include "persist/records_file.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <system_error>
#include <unistd.h>

#include "engine/error.h"
#include "persist/errno_text.h"
#include "persist/karma1/records_json.h"

namespace karma {
namespace {

int create_without_name(const std::filesystem::path& directory) {
    std::string path = (directory / "karma.fetch-XXXXXX").string();
    const int file = ::mkostemp(path.data(), O_CLOEXEC);
    if (file < 0) {
        throw StorageError("cannot create a file in " + directory.string() + ": " + errno_text());
    }
    ::unlink(path.c_str());
    return file;
}

}  // namespace

RecordsFile::RecordsFile(const RecordTables& tables, const RecordsSelection& selection,
                         const std::filesystem::path& directory, const Deadline& deadline)
    : file_(create_without_name(directory)) {
    try {
        written_ = write_records_json(tables, selection, [&](std::string_view bytes) {
            deadline.check();
            write(bytes);
        });
    } catch (...) {
        ::close(file_);
        throw;
    }
}

RecordsFile::~RecordsFile() { ::close(file_); }

void RecordsFile::write(std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t written = ::write(file_, bytes.data(), bytes.size());
        if (written < 0 && errno != EINTR) {
            throw StorageError("cannot write karma.idempotency.json for a client: " + errno_text());
        }
        const auto count = static_cast<std::size_t>(std::max<ssize_t>(written, 0));
        bytes.remove_prefix(count);
        size_ += count;
    }
}

void RecordsFile::read(std::uint64_t offset, std::size_t count, std::string& out) const {
    const std::size_t begin = out.size();
    out.resize(begin + count);
    for (std::size_t done = 0; done < count;) {
        const ssize_t taken =
            ::pread(file_, out.data() + begin + done, count - done, static_cast<off_t>(offset + done));
        if (taken == 0 || (taken < 0 && errno != EINTR)) {
            throw RequestError(ErrorCode::internal_error,
                               "cannot read karma.idempotency.json back: " + errno_text());
        }
        done += static_cast<std::size_t>(std::max<ssize_t>(taken, 0));
    }
}

}  // namespace karma
