#pragma once

#include <string>
#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>

namespace karma::net {

/// The file of a listening Unix socket. The destructor removes it, unless another file has taken its place.
class UnixSocketFile {
public:
    UnixSocketFile() = default;
    /// The file at this path, which exists.
    explicit UnixSocketFile(std::string path);
    UnixSocketFile(UnixSocketFile&& other) noexcept;
    UnixSocketFile& operator=(UnixSocketFile&& other) noexcept;
    ~UnixSocketFile();

private:
    void remove() noexcept;

    std::string path_;
    dev_t device_ = 0;
    ino_t number_ = 0;
};

/// Throws std::runtime_error that names the path if it cannot be bound. A socket that an ended daemon has
/// left behind is no obstacle.
void check_unix_path(const std::string& path);

/// Binds to a path, to which its user and group may connect; the socket does not listen yet. Throws as
/// `check_unix_path`.
boost::asio::local::stream_protocol::acceptor bind_unix(const std::string& path,
                                                        boost::asio::io_context& context,
                                                        UnixSocketFile& file);

}  // namespace karma::net
