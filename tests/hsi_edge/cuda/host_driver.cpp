// A libcuda.so whose GPU is the host: the functions that hsi_edge calls, for cuda-bindings to find. Streams run what they
// are given at once; captured work runs when its graph is launched. Handles are checked as a driver does.
//
// From the environment: HOST_KERNELS, the library of kernels; HOST_DRIVER_VERSION; HOST_FAIL, "function status n": the
// n-th call of that function (counted from 1) and all further calls give that status.
#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace {

enum Status { SUCCESS = 0, INVALID_VALUE = 1, INVALID_CONTEXT = 201, NOT_FOUND = 500, INVALID_HANDLE = 400 };

using Handle = std::uintptr_t;
using Task = std::function<void()>;
struct Kernel {
    void (*run)(unsigned, unsigned, unsigned, unsigned, void**);
    int arguments;
};

std::set<Handle> contexts, streams, events;
const std::set<Handle> default_streams = {1, 2};
std::vector<Handle> current;
std::map<Handle, std::uint64_t> device_memory, pinned_memory;
std::map<Handle, std::vector<Task>> graphs;
std::map<Handle, Kernel> kernels;
std::vector<Task>* capturing = nullptr;
std::map<std::string, int> calls;
void* library = nullptr;
Handle next_handle = 0x1000;

int failure(const char* name) {
    const char* wanted = std::getenv("HOST_FAIL");
    char function[64];
    int status, from;
    const int call = ++calls[name];
    if (wanted && std::sscanf(wanted, "%63s %d %d", function, &status, &from) == 3 && !std::strcmp(function, name))
        return call >= from ? status : 0;
    return 0;
}

void put(Task task) {
    if (capturing)
        capturing->push_back(std::move(task));
    else
        task();
}

bool holds(const std::map<Handle, std::uint64_t>& memory, Handle at, std::uint64_t bytes) {
    for (const auto& block : memory)
        if (at >= block.first && at + bytes <= block.first + block.second) return true;
    return false;
}

}  // namespace

#define API extern "C" int
#define CALLED \
    if (const int status = failure(__func__)) return status;
#define IN_CONTEXT \
    CALLED         \
    if (current.empty()) return INVALID_CONTEXT;
#define KNOWN(handle, kind) \
    if (!(kind).count(handle)) return INVALID_HANDLE;

API cuInit(unsigned) { CALLED return SUCCESS; }
API cuDriverGetVersion(int* version) {
    CALLED
    const char* told = std::getenv("HOST_DRIVER_VERSION");
    *version = told ? std::atoi(told) : 13050;
    return SUCCESS;
}
API cuDeviceGetCount(int* count) { CALLED *count = 1; return SUCCESS; }
API cuDeviceGet(int* device, int number) { CALLED *device = number; return number ? 101 : SUCCESS; }
API cuCtxGetCurrent(Handle* context) { CALLED *context = current.empty() ? 0 : current.back(); return SUCCESS; }
API cuDevicePrimaryCtxRetain(Handle* context, int) { CALLED contexts.insert(*context = 0x77); return SUCCESS; }
API cuDevicePrimaryCtxRelease_v2(int) { CALLED std::puts("released"); return SUCCESS; }
API cuDevicePrimaryCtxReset_v2(int) { CALLED std::puts("reset"); return SUCCESS; }
API cuCtxPushCurrent_v2(Handle context) { CALLED KNOWN(context, contexts) current.push_back(context); return SUCCESS; }
API cuCtxPopCurrent_v2(Handle* context) { IN_CONTEXT *context = current.back(); current.pop_back(); return SUCCESS; }
API cuCtxGetDevice(int* device) { IN_CONTEXT *device = 0; return SUCCESS; }
API cuDeviceGetName(char* name, int length, int) { CALLED std::snprintf(name, length, "host"); return SUCCESS; }
API cuDeviceGetAttribute(int* value, int attribute, int) {
    CALLED
    *value = attribute == 75 ? 8 : attribute == 76 ? 7 : attribute == 18 ? std::getenv("HOST_INTEGRATED") != nullptr : -1;
    return SUCCESS;
}
API cuMemGetInfo_v2(std::size_t* free, std::size_t* total) { IN_CONTEXT *free = 1 << 30; *total = 2u << 30; return SUCCESS; }

API cuStreamCreate(Handle* stream, unsigned) { IN_CONTEXT streams.insert(*stream = ++next_handle); return SUCCESS; }
API cuStreamDestroy_v2(Handle stream) { IN_CONTEXT return streams.erase(stream) ? SUCCESS : INVALID_HANDLE; }
API cuEventCreate(Handle* event, unsigned) { IN_CONTEXT events.insert(*event = ++next_handle); return SUCCESS; }
API cuEventDestroy_v2(Handle event) { IN_CONTEXT return events.erase(event) ? SUCCESS : INVALID_HANDLE; }
API cuEventRecord(Handle event, Handle stream) {
    IN_CONTEXT KNOWN(event, events)
    return streams.count(stream) || default_streams.count(stream) ? SUCCESS : INVALID_HANDLE;
}
API cuEventSynchronize(Handle event) { IN_CONTEXT KNOWN(event, events) return SUCCESS; }
API cuEventElapsedTime_v2(float* milliseconds, Handle first, Handle last) {
    IN_CONTEXT KNOWN(first, events) KNOWN(last, events) *milliseconds = 1.5f; return SUCCESS;
}
API cuStreamWaitEvent(Handle stream, Handle event, unsigned) {
    IN_CONTEXT KNOWN(event, events) KNOWN(stream, streams) return SUCCESS;
}

API cuMemAlloc_v2(Handle* memory, std::size_t bytes) {
    IN_CONTEXT
    device_memory[*memory = reinterpret_cast<Handle>(std::memset(std::malloc(bytes), 0xFF, bytes))] = bytes;
    return SUCCESS;
}
API cuMemHostAlloc(Handle* memory, std::size_t bytes, unsigned) {
    IN_CONTEXT
    pinned_memory[*memory = reinterpret_cast<Handle>(std::memset(std::malloc(bytes), 0xFF, bytes))] = bytes;
    return SUCCESS;
}
API cuMemHostGetDevicePointer_v2(Handle* address, Handle memory, unsigned) {
    IN_CONTEXT KNOWN(memory, pinned_memory) *address = memory;
    return SUCCESS;
}
API cuMemFree_v2(Handle memory) {
    IN_CONTEXT KNOWN(memory, device_memory) device_memory.erase(memory);
    std::free(reinterpret_cast<void*>(memory));
    return SUCCESS;
}
API cuMemFreeHost(Handle memory) {
    IN_CONTEXT KNOWN(memory, pinned_memory) pinned_memory.erase(memory);
    std::free(reinterpret_cast<void*>(memory));
    return SUCCESS;
}
API cuMemcpyAsync(Handle target, Handle source, std::size_t bytes, Handle stream) {
    IN_CONTEXT KNOWN(stream, streams)
    for (const Handle at : {target, source})
        if (!holds(device_memory, at, bytes) && !holds(pinned_memory, at, bytes)) return INVALID_VALUE;
    put([=] { std::memcpy(reinterpret_cast<void*>(target), reinterpret_cast<void*>(source), bytes); });
    return SUCCESS;
}

API cuModuleLoadData(Handle* module, const char* image) {
    IN_CONTEXT
    if (std::memcmp(image, "\177ELF", 4)) return 200;
    library = dlopen(std::getenv("HOST_KERNELS"), RTLD_NOW);
    *module = ++next_handle;
    return library ? SUCCESS : 200;
}
API cuModuleUnload(Handle) { IN_CONTEXT return SUCCESS; }
API cuModuleGetFunction(Handle* function, Handle, const char* name) {
    IN_CONTEXT
    void* run = dlsym(library, (std::string(name) + "_on_host").c_str());
    void* arguments = dlsym(library, (std::string(name) + "_arguments").c_str());
    if (!run || !arguments) return NOT_FOUND;
    kernels[*function = ++next_handle] = {
        reinterpret_cast<decltype(Kernel::run)>(run), reinterpret_cast<int (*)()>(arguments)()};
    return SUCCESS;
}
API cuLaunchKernel(
    Handle function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned threads_y, unsigned threads_z,
    unsigned, Handle stream, void** arguments, void** extra
) {
    IN_CONTEXT KNOWN(stream, streams) KNOWN(function, kernels)
    if (threads_y != 1 || threads_z != 1 || extra || !x || !y || !z || y > 65535 || z > 65535) return INVALID_VALUE;
    const Kernel kernel = kernels[function];
    std::vector<std::uint64_t> values;
    for (int at = 0; at < kernel.arguments; ++at) values.push_back(*static_cast<std::uint64_t*>(arguments[at]));
    put([=]() mutable {
        std::vector<void*> pointers;
        for (auto& value : values) pointers.push_back(&value);
        kernel.run(x, y, z, threads, pointers.data());
    });
    return SUCCESS;
}

API cuStreamBeginCapture_v2(Handle stream, int mode) {
    IN_CONTEXT KNOWN(stream, streams)
    if (mode != 1 || capturing) return INVALID_VALUE;
    capturing = new std::vector<Task>;
    return SUCCESS;
}
API cuStreamEndCapture(Handle stream, Handle* graph) {
    IN_CONTEXT KNOWN(stream, streams)
    if (!capturing) return INVALID_VALUE;
    graphs[*graph = ++next_handle] = std::move(*capturing);
    delete capturing;
    capturing = nullptr;
    return SUCCESS;
}
API cuGraphInstantiateWithFlags(Handle* made, Handle graph, unsigned long long) {
    IN_CONTEXT KNOWN(graph, graphs) graphs[*made = ++next_handle] = graphs[graph];
    return SUCCESS;
}
API cuGraphDestroy(Handle graph) { IN_CONTEXT return graphs.erase(graph) ? SUCCESS : INVALID_HANDLE; }
API cuGraphExecDestroy(Handle graph) { IN_CONTEXT return graphs.erase(graph) ? SUCCESS : INVALID_HANDLE; }
API cuGraphLaunch(Handle graph, Handle stream) {
    IN_CONTEXT KNOWN(stream, streams) KNOWN(graph, graphs)
    for (auto& task : graphs[graph]) task();
    return SUCCESS;
}

// For tests: what was not given back.
API host_held() { return streams.size() + events.size() + device_memory.size() + pinned_memory.size() + graphs.size(); }

// NVRTC asks for a private table, and does without.
API cuGetExportTable(const void** table, const void*) { *table = nullptr; return NOT_FOUND; }

API cuGetProcAddress_v2(const char* name, void** function, int, std::uint64_t, int* status) {
    for (const char* version : {"_v2", ""}) {
        *function = dlsym(RTLD_DEFAULT, (std::string(name) + version).c_str());
        if (!*function) *function = dlsym(dlopen("libcuda.so.1", RTLD_NOW), (std::string(name) + version).c_str());
        if (*function) break;
    }
    if (status) *status = *function ? 0 : 1;
    return *function ? SUCCESS : NOT_FOUND;
}
API cuGetProcAddress(const char* name, void** function, int version, std::uint64_t flags) {
    return cuGetProcAddress_v2(name, function, version, flags, nullptr);
}
