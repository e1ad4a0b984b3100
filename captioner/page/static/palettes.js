// Colours of the maps, as 33 steps of matplotlib's viridis: [red, green, blue], 0 to 255.

/** @type {Record<string, number[][]>} */
export const COLOUR_STEPS = {
  viridis: [
    [68, 1, 84], [70, 12, 95], [71, 24, 106], [72, 34, 115], [71, 44, 123], [69, 54, 129],
    [66, 64, 133], [62, 73, 137], [58, 82, 139], [54, 90, 140], [50, 98, 141], [47, 106, 141],
    [44, 114, 142], [40, 122, 142], [38, 129, 142], [35, 137, 141], [32, 144, 140], [30, 152, 138],
    [30, 159, 136], [33, 167, 132], [40, 174, 127], [50, 181, 122], [62, 188, 115], [77, 194, 107],
    [94, 201, 97], [112, 206, 86], [131, 211, 75], [151, 216, 62], [173, 220, 48], [194, 223, 34],
    [215, 226, 25], [236, 228, 26], [253, 231, 36],
  ],
};

// Opacity of the spotlight at full strength, times that of the colours; as in the library.
export const SPOTLIGHT_STRENGTH = 1.25;
