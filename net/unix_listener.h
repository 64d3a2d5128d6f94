#pragma once

#include <string>
#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>

namespace karma::net {

/// The file of a Unix socket that is listened on; removed at the end, unless another one has taken its place.
class UnixSocketFile {
public:
    UnixSocketFile() = default;
    /// The file at this path, which is there.
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

/// Throws std::runtime_error that names the path where it could not be bound. A socket that a daemon has left
/// which has ended without removing it is in nobody's way.
void check_unix_path(const std::string& path);

/// Binds to a path, which its user and group may connect to; nobody is accepted before it listens. Throws as
/// `check_unix_path`.
boost::asio::local::stream_protocol::acceptor bind_unix(const std::string& path,
                                                        boost::asio::io_context& context,
                                                        UnixSocketFile& file);

}  // namespace karma::net
