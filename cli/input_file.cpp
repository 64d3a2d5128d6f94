#include "cli/input_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <zlib.h>

namespace karma::cli {

namespace {

constexpr std::size_t raw_bytes = 262'144;

[[noreturn]] void fail(const std::string& name, int error) {
    throw InputError(name + ": " + std::generic_category().message(error));
}

}  // namespace

InputFile::InputFile(const std::string& path, int standard_input) : raw_(raw_bytes) {
    if (path == "-") {
        name_ = "standard input";
        descriptor_ = standard_input;
    } else {
        name_ = path;
        descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
        if (descriptor_ < 0) fail(name_, errno);
        owned_ = true;
    }
    struct stat status {};
    const int error = ::fstat(descriptor_, &status) != 0 ? errno : S_ISDIR(status.st_mode) ? EISDIR : 0;
    if (error != 0) {
        if (owned_) ::close(descriptor_);
        fail(name_, error);
    }
    waits_ = !S_ISREG(status.st_mode);
    if (S_ISREG(status.st_mode)) {
        size_ = static_cast<std::uint64_t>(status.st_size);
        const off_t offset = ::lseek(descriptor_, 0, SEEK_CUR);
        offset_ = offset < 0 ? 0 : static_cast<std::uint64_t>(offset);
    }
}

InputFile::~InputFile() {
    if (inflater_) ::inflateEnd(inflater_.get());
    if (owned_) ::close(descriptor_);
}

InputState InputFile::read(std::span<char> into, std::size_t& count) {
    const InputState state = replaying_ ? read_kept(into, count) : read_content(into, count);
    if (state == InputState::data) hash_.add(into.first(count));
    if (!replaying_ && format_ == Format::gzip) {
        if (state == InputState::data) keep(into.first(count));
        if (state == InputState::end && keeping_ == Keeping::yes) keeping_ = Keeping::complete;
    }
    return state;
}

void InputFile::keep(std::span<const char> bytes) {
    if (keeping_ != Keeping::yes) return;
    if (!can_rewind() || bytes.size() > kept_bytes_max - kept_.size()) {
        keeping_ = Keeping::no;
        kept_ = std::vector<char>();
        return;
    }
    kept_.insert(kept_.end(), bytes.begin(), bytes.end());
}

InputState InputFile::read_kept(std::span<char> into, std::size_t& count) {
    count = std::min(kept_.size() - replayed_, into.size());
    std::memcpy(into.data(), kept_.data() + replayed_, count);
    replayed_ += count;
    // The file has been read long ago; what is shown is how much of its content has been handed out.
    const double share =
        kept_.empty() ? 1 : static_cast<double>(replayed_) / static_cast<double>(kept_.size());
    position_ = static_cast<std::uint64_t>(share * static_cast<double>(*size_));
    return count == 0 ? InputState::end : InputState::data;
}

void InputFile::rewind() {
    (void)hash_.take();
    position_ = 0;
    replayed_ = 0;
    replaying_ = keeping_ == Keeping::complete;
    if (replaying_) return;
    if (::lseek(descriptor_, static_cast<off_t>(offset_), SEEK_SET) < 0) fail(name_, errno);
    keeping_ = Keeping::no;
    kept_ = std::vector<char>();
    raw_start_ = raw_end_ = 0;
    raw_ended_ = false;
    format_ = Format::unknown;
    if (inflater_) ::inflateEnd(inflater_.get());
    inflater_.reset();
    between_members_ = false;
}

InputState InputFile::read_content(std::span<char> into, std::size_t& count) {
    count = 0;
    if (format_ == Format::unknown) {
        if (const InputState state = detect_format(); state != InputState::data) return state;
    }
    return format_ == Format::gzip ? read_gzip(into, count) : read_plain(into, count);
}

InputState InputFile::read_raw(std::span<char> into, std::size_t& count) {
    count = 0;
    if (raw_ended_) return InputState::end;
    if (waits_) {
        pollfd descriptor{descriptor_, POLLIN, 0};
        const int ready = ::poll(&descriptor, 1, idle_after_ms);
        if (ready == 0 || (ready < 0 && errno == EINTR)) return InputState::idle;
        if (ready < 0) fail(name_, errno);
    }
    const ssize_t result = ::read(descriptor_, into.data(), into.size());
    if (result < 0) {
        if (errno == EINTR || errno == EAGAIN) return InputState::idle;
        fail(name_, errno);
    }
    if (result == 0) {
        raw_ended_ = true;
        return InputState::end;
    }
    count = static_cast<std::size_t>(result);
    position_ += count;
    return InputState::data;
}

InputState InputFile::fill_raw() {
    if (raw_start_ != 0) {
        std::memmove(raw_.data(), raw_.data() + raw_start_, raw_left());
        raw_end_ -= raw_start_;
        raw_start_ = 0;
    }
    std::size_t count = 0;
    const InputState state = read_raw(std::span(raw_).subspan(raw_end_), count);
    raw_end_ += count;
    return state;
}

InputState InputFile::detect_format() {
    while (raw_left() < 2 && !raw_ended_) {
        if (fill_raw() == InputState::idle) return InputState::idle;
    }
    if (raw_left() < 2 || raw_[0] != '\x1f' || raw_[1] != '\x8b') {
        format_ = Format::plain;
        return InputState::data;
    }
    format_ = Format::gzip;
    inflater_ = std::make_unique<z_stream_s>();
    constexpr int gzip_only = 16;
    if (::inflateInit2(inflater_.get(), MAX_WBITS + gzip_only) != Z_OK) {
        inflater_.reset();
        throw InputError(name_ + ": not enough memory to unpack gzip");
    }
    return InputState::data;
}

InputState InputFile::read_plain(std::span<char> into, std::size_t& count) {
    if (raw_left() == 0) return read_raw(into, count);
    count = std::min(raw_left(), into.size());
    std::memcpy(into.data(), raw_.data() + raw_start_, count);
    raw_start_ += count;
    return InputState::data;
}

InputState InputFile::read_gzip(std::span<char> into, std::size_t& count) {
    z_stream& stream = *inflater_;
    while (true) {
        if (between_members_) skip_padding();
        if (raw_left() == 0 && !raw_ended_) {
            if (fill_raw() == InputState::idle) return InputState::idle;
            continue;
        }
        if (between_members_) {
            if (raw_left() == 0) return InputState::end;
            ::inflateReset(&stream);
            between_members_ = false;
        }
        stream.next_in = reinterpret_cast<Bytef*>(raw_.data() + raw_start_);
        stream.avail_in = static_cast<uInt>(raw_left());
        stream.next_out = reinterpret_cast<Bytef*>(into.data());
        stream.avail_out = static_cast<uInt>(std::min<std::size_t>(into.size(), 1U << 30U));
        const uInt room = stream.avail_out;
        const int result = ::inflate(&stream, Z_NO_FLUSH);
        raw_start_ = raw_end_ - stream.avail_in;
        count = room - stream.avail_out;
        between_members_ = result == Z_STREAM_END;
        // zlib repeats an error when it is asked again, so what came before the fault goes out first.
        if (count != 0) return InputState::data;
        if (result == Z_BUF_ERROR && raw_ended_ && raw_left() == 0) {
            throw InputError(name_ + ": the gzip data is cut short, it ends in the middle after " +
                             std::to_string(position_) + " bytes");
        }
        if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
            throw InputError(name_ + ": the gzip data is damaged near byte " +
                             std::to_string(position_ - raw_left()) + " (" +
                             (stream.msg != nullptr ? stream.msg : "unknown error") + ")");
        }
    }
}

void InputFile::skip_padding() {
    while (raw_left() != 0 && raw_[raw_start_] == '\0') ++raw_start_;
}

}  // namespace karma::cli
