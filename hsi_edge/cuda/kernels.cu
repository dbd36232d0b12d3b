// What is done to a frame around the engine. Images are planar (channels, rows, cols) float32 unless said otherwise.
//
// One thread per item of a grid x * y * z. Every integer argument has 64 bits and every real one is a float, so that a
// launch needs no list of types. Nothing is shared between threads: the same source runs in loops on a host.

typedef long long Int;
typedef unsigned char Byte;

#define X ((Int)blockIdx.x * blockDim.x + threadIdx.x)
#define Y ((Int)blockIdx.y)
#define Z ((Int)blockIdx.z)

static __device__ Int clamped(Int at, Int length) { return at < 0 ? 0 : (at < length ? at : length - 1); }

static __device__ bool is_finite(float value) { return value - value == 0.0f; }

enum Kind { UINT8 = 0, UINT16 = 1, INT16 = 2, FLOAT32 = 3 };

static __device__ float number(const Byte* at, Int kind) {
    switch (kind) {
        case UINT8: return (float)*at;
        case UINT16: return (float)*(const unsigned short*)at;
        case INT16: return (float)*(const short*)at;
        default: return *(const float*)at;
    }
}

// Weights of interpolation at `offset` LR pixels beyond tap 1 of four (Keys' cubic with a = -0.5, or the tent).
static __device__ void tap_weights(float offset, bool cubic, float weights[4]) {
    for (int tap = 0; tap < 4; ++tap) {
        const float d = offset - (float)(tap - 1);
        const float x = d < 0.0f ? -d : d;
        float weight;
        if (!cubic)
            weight = x < 1.0f ? 1.0f - x : 0.0f;
        else if (x <= 1.0f)
            weight = (1.5f * x - 2.5f) * x * x + 1.0f;
        else
            weight = x < 2.0f ? (((x - 5.0f) * x + 8.0f) * x - 4.0f) * -0.5f : 0.0f;
        weights[tap] = weight;
    }
}

// The four LR pixels around an HR pixel along an axis, clamped to the border, and their weights.
static __device__ void taps_at(Int hr, Int ratio, Int length, bool cubic, Int at[4], float weights[4]) {
    // The centre lies at (hr + 0.5) / ratio - 0.5; in units of 1 / (2 ratio) that is an integer.
    const int twice = 2 * (int)ratio;
    const int position = 2 * (int)hr + 1 - (int)ratio + twice;
    const int whole = position / twice - 1;
    tap_weights((float)(position % twice) / (float)twice, cubic, weights);
    for (int tap = 0; tap < 4; ++tap) at[tap] = clamped(whole + tap - 1, length);
}

// Reads the camera's own frame of any strides (in bytes), x: cols, y: rows, of a grid that may reach beyond it: there,
// the last row and column are repeated. A pixel is valid if all its bands are finite and its mask (if any) is set.
extern "C" __global__ void read_msi(
    const Byte* source, Int row_stride, Int col_stride, Int band_stride, Int kind, const Byte* mask, Int rows, Int cols,
    Int bands, float factor, Int grid_rows, Int grid_cols, float* image, Byte* valid
) {
    const Int col = X, row = Y;
    if (col >= grid_cols) return;
    const Int from_row = clamped(row, rows), from_col = clamped(col, cols);
    const Byte* pixel = source + from_row * row_stride + from_col * col_stride;
    bool measured = mask == 0 || mask[from_row * cols + from_col] != 0;
    for (Int band = 0; band < bands; ++band) {
        const float value = number(pixel + band * band_stride, kind) * factor;
        measured = measured && is_finite(value);
        image[(band * grid_rows + row) * grid_cols + col] = value;
    }
    valid[row * grid_cols + col] = measured ? 1 : 0;
}

// Gives invalid pixels the mean of the valid ones of their LR pixel, or `fill` where there is none; x: LR cols,
// y: LR rows, z: bands.
extern "C" __global__ void fill_invalid(
    float* image, const Byte* valid, const float* fill, Int ratio, Int grid_rows, Int grid_cols
) {
    const Int left = X * ratio, top = Y * ratio, band = Z;
    if (left >= grid_cols) return;
    float sum = 0.0f;
    Int count = 0;
    for (Int row = top; row < top + ratio; ++row)
        for (Int col = left; col < left + ratio; ++col)
            if (valid[row * grid_cols + col]) {
                sum += image[(band * grid_rows + row) * grid_cols + col];
                ++count;
            }
    if (count == ratio * ratio) return;
    const float mean = count ? sum / (float)count : fill[band];
    for (Int row = top; row < top + ratio; ++row)
        for (Int col = left; col < left + ratio; ++col)
            if (!valid[row * grid_cols + col]) image[(band * grid_rows + row) * grid_cols + col] = mean;
}

// Filters along the rows' axis (`down`) or along the columns' one: item i is the sum over k < count of
// weights[i * weight_stride + k] times item i * step + first + k of the source, clamped to the border;
// x: cols, y: rows, z: channels of the target.
extern "C" __global__ void along_axis(
    const float* source, Int source_rows, Int source_cols, float* target, Int rows, Int cols, Int down,
    const float* weights, Int weight_stride, Int count, Int step, Int first
) {
    const Int col = X, row = Y, channel = Z;
    if (col >= cols) return;
    const Int item = down ? row : col;
    float sum = 0.0f;
    for (Int k = 0; k < count; ++k) {
        const Int at = clamped(item * step + first + k, down ? source_rows : source_cols);
        const Int from = down ? at * source_cols + col : row * source_cols + at;
        sum += weights[item * weight_stride + k] * source[channel * source_rows * source_cols + from];
    }
    target[(channel * rows + row) * cols + col] = sum;
}

// Replaces the three bands of an image by matrix @ (bands - mean); x: pixels.
extern "C" __global__ void make_guide(float* image, const float* matrix, const float* mean, Int pixels) {
    const Int at = X;
    if (at >= pixels) return;
    const float a = image[at] - mean[0], b = image[pixels + at] - mean[1], c = image[2 * pixels + at] - mean[2];
    for (Int band = 0; band < 3; ++band)
        image[band * pixels + at] = matrix[3 * band] * a + matrix[3 * band + 1] * b + matrix[3 * band + 2] * c;
}

// Copies a window between images; beyond the source's border its outermost pixels are repeated;
// x: cols, y: rows, z: channels of the window.
extern "C" __global__ void copy_window(
    const float* source, Int source_rows, Int source_cols, Int from_top, Int from_left, float* target, Int target_rows,
    Int target_cols, Int to_top, Int to_left, Int cols
) {
    const Int col = X, row = Y, channel = Z;
    if (col >= cols) return;
    const Int from_row = clamped(from_top + row, source_rows), from_col = clamped(from_left + col, source_cols);
    target[(channel * target_rows + to_top + row) * target_cols + to_left + col] =
        source[(channel * source_rows + from_row) * source_cols + from_col];
}

// A window of the base image: the interpolated remainder (bands, lr_rows, lr_cols), plus weights (bands, msi_bands)
// times the MSI where there are weights; x: cols, y: rows, z: bands.
extern "C" __global__ void cut_base(
    const float* remainder, Int lr_rows, Int lr_cols, Int ratio, Int cubic, const float* weights, const float* msi,
    Int msi_bands, Int grid_rows, Int grid_cols, Int top, Int left, float* target, Int rows, Int cols
) {
    const Int col = X, row = Y, band = Z;
    if (col >= cols) return;
    Int row_at[4], col_at[4];
    float row_weights[4], col_weights[4];
    taps_at(top + row, ratio, lr_rows, cubic != 0, row_at, row_weights);
    taps_at(left + col, ratio, lr_cols, cubic != 0, col_at, col_weights);
    const float* plane = remainder + band * lr_rows * lr_cols;
    float value = 0.0f;
    for (int i = 0; i < 4; ++i) {
        float line = 0.0f;
        for (int j = 0; j < 4; ++j) line += col_weights[j] * plane[row_at[i] * lr_cols + col_at[j]];
        value += row_weights[i] * line;
    }
    if (weights)
        for (Int k = 0; k < msi_bands; ++k)
            value += weights[band * msi_bands + k] * msi[(k * grid_rows + top + row) * grid_cols + left + col];
    target[(band * rows + row) * cols + col] = value;
}

// What the degraded output lacks of the LR-HSI, as far as noise does not explain it, (lr_rows, lr_cols, bands), and the
// sum of its squares over the bands before that; x: LR pixels. `mixing` is (channels, bands); `allowed` is the mean
// square that noise explains.
extern "C" __global__ void find_missing(
    const float* degraded, Int channels, const float* mixing, const float* offset, const float* lr, const Byte* measured,
    Int bands, Int pixels, float allowed, float* missing, double* squares
) {
    const Int at = X;
    if (at >= pixels) return;
    double sum = 0.0;
    for (Int band = 0; band < bands; ++band) {
        float value = offset[band];
        for (Int k = 0; k < channels; ++k) value += mixing[k * bands + band] * degraded[k * pixels + at];
        value = measured[at] ? lr[band * pixels + at] - value : 0.0f;
        missing[at * bands + band] = value;
        sum += (double)value * (double)value;
    }
    squares[at] = sum;
    const double energy = sum / (double)bands;
    const float share = energy > (double)allowed ? (float)(1.0 - (double)allowed / energy) : 0.0f;
    for (Int band = 0; band < bands; ++band) missing[at * bands + band] *= share;
}

// The rows `top` on of the result (rows, cols, bands), strides in bytes: the channels themselves, or what `mixing`
// (channels, bands) makes of them plus the interpolated correction (lr_rows, lr_cols, bands); times `factor`; `nothing`
// (NaN) where an input was invalid and in dead bands; x: bands of a pixel, then cols, so that neighbours write to
// neighbouring places; y: rows. A pixel's MSI is judged `shift` pixels further, where it was read.
extern "C" __global__ void write_result(
    const float* canvas, Int channels, Int rows, Int cols, Int top, const float* mixing, const float* offset,
    const float* correction, float factor, float nothing, Int ratio, Int lr_rows, Int lr_cols, const Byte* lr_valid,
    const Byte* msi_valid, Int grid_cols, Int shift_rows, Int shift_cols, const Byte* dead, Int bands, Byte* result,
    Int row_stride, Int col_stride, Int band_stride
) {
    const int col = (int)X / (int)bands, band = (int)X % (int)bands, r = (int)ratio;
    const Int row = top + Y;
    if (col >= cols) return;
    bool valid = !dead[band] && lr_valid[((int)row / r) * lr_cols + col / r] != 0;
    if (msi_valid)
        valid = valid && msi_valid[clamped(row + shift_rows, rows) * grid_cols + clamped(col + shift_cols, cols)] != 0;
    const float* pixel = canvas + row * cols + col;
    float value = 0.0f;
    if (mixing) {
        value = offset[band];
        for (Int k = 0; k < channels; ++k) value += mixing[k * bands + band] * pixel[k * rows * cols];
        Int row_at[4], col_at[4];
        float row_weights[4], col_weights[4];
        taps_at(row, ratio, lr_rows, true, row_at, row_weights);
        taps_at(col, ratio, lr_cols, true, col_at, col_weights);
        for (int i = 0; i < 4; ++i) {
            float line = 0.0f;
            for (int j = 0; j < 4; ++j)
                line += col_weights[j] * correction[(row_at[i] * lr_cols + col_at[j]) * bands + band];
            value += row_weights[i] * line;
        }
    } else {
        value = pixel[band * rows * cols];
    }
    *(float*)(result + Y * row_stride + col * col_stride + band * band_stride) = valid ? value * factor : nothing;
}
