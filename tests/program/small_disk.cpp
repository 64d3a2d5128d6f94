#include "tests/program/small_disk.h"

#include <cerrno>
#include <sched.h>
#include <sys/mount.h>
#include <system_error>

namespace karma::test {

namespace {

std::string size_option(std::size_t bytes) { return "size=" + std::to_string(bytes); }

}  // namespace

std::unique_ptr<SmallDisk> SmallDisk::make(std::size_t bytes, std::string& why) {
    const auto failed = [&](const char* what) {
        why = std::string(what) + ": " + std::generic_category().message(errno);
        return nullptr;
    };
    if (::unshare(CLONE_NEWNS) != 0) return failed("no list of mounts of its own");
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return failed("no private mounts");
    std::unique_ptr<SmallDisk> disk(new SmallDisk);
    if (::mount("tmpfs", disk->path().c_str(), "tmpfs", 0, size_option(bytes).c_str()) != 0)
        return failed("cannot mount a tmpfs");
    disk->mounted_ = true;
    return disk;
}

SmallDisk::~SmallDisk() {
    if (mounted_) ::umount2(path().c_str(), MNT_DETACH);
}

void SmallDisk::grow(std::size_t bytes) {
    if (::mount(nullptr, path().c_str(), nullptr, MS_REMOUNT, size_option(bytes).c_str()) != 0)
        throw std::system_error(errno, std::generic_category(), "cannot remount " + path().string());
}

}  // namespace karma::test
