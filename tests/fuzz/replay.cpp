// Runs a fuzz target over inputs that are kept, without libFuzzer: what failed once stays mended.
// Usage: replay_TARGET FILE-OR-DIRECTORY...   exits 2 if there is nothing to run.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

std::size_t replayed = 0;

void replay(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    const std::vector<char> text{std::istreambuf_iterator<char>(file), {}};
    const std::vector<std::uint8_t> bytes(text.begin(), text.end());
    if (!file) {
        std::fprintf(stderr, "cannot read %s\n", path.c_str());
        std::exit(2);
    }
    std::printf("%s\n", path.c_str());
    std::fflush(stdout);  // the last line names the input that ends it
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
    ++replayed;
}

}  // namespace

int main(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
        if (!std::filesystem::is_directory(argv[i])) {
            replay(argv[i]);
            continue;
        }
        for (const auto& each : std::filesystem::recursive_directory_iterator(argv[i])) {
            if (each.is_regular_file()) {
                replay(each.path());
            }
        }
    }
    std::printf("%zu inputs\n", replayed);
    return replayed == 0 ? 2 : 0;
}
