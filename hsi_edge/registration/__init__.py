"""Registration: where on the HR-MSI a pixel of the LR-HSI is."""
