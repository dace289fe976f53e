"""Training of a latent diffusion model, one stage a file."""
