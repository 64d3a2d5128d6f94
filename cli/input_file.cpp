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
    if (S_ISREG(status.st_mode)) size_ = static_cast<std::uint64_t>(status.st_size);
}

InputFile::~InputFile() {
    if (inflater_) ::inflateEnd(inflater_.get());
    if (owned_) ::close(descriptor_);
}

InputState InputFile::read(std::span<char> into, std::size_t& count) {
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
