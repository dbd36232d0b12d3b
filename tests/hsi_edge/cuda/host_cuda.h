// Enough of CUDA to run the kernels on a host, one thread after the other.
#include <cstddef>
#include <utility>

#define __global__
#define __device__

struct Dim { unsigned x, y, z; };
static Dim blockIdx, blockDim, threadIdx;

template <typename... Args, std::size_t... At>
static void call(void (*kernel)(Args...), void** arguments, std::index_sequence<At...>) {
    kernel(*static_cast<Args*>(arguments[At])...);
}

template <typename... Args>
static void run(void (*kernel)(Args...), unsigned x, unsigned y, unsigned z, unsigned threads, void** arguments) {
    blockDim = {threads, 1, 1};
    for (blockIdx.z = 0; blockIdx.z < z; ++blockIdx.z)
        for (blockIdx.y = 0; blockIdx.y < y; ++blockIdx.y)
            for (blockIdx.x = 0; blockIdx.x < x; ++blockIdx.x)
                for (threadIdx.x = 0; threadIdx.x < threads; ++threadIdx.x)
                    call(kernel, arguments, std::index_sequence_for<Args...>{});
}

template <typename... Args>
static int count(void (*)(Args...)) {
    return sizeof...(Args);
}

#define ON_HOST(kernel)                                                                                        \
    extern "C" int kernel##_arguments() { return count(kernel); }                                              \
    extern "C" void kernel##_on_host(unsigned x, unsigned y, unsigned z, unsigned threads, void** arguments) { \
        run(kernel, x, y, z, threads, arguments);                                                              \
    }
