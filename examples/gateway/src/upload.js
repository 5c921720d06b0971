// Sends a file as the body of one request, so that the server writes it to a file as it arrives. The text that comes
// back is set as text, never as HTML. Then the list of files is loaded anew.
const form = document.getElementById('upload');
form?.addEventListener('submit', async (event) => {
  event.preventDefault();
  const file = document.getElementById('file').files[0];
  const result = document.getElementById('result');
  result.textContent = 'Uploading and checking…';
  try {
    const response = await fetch('/files?name=' + encodeURIComponent(file.name), {
      method: 'PUT',
      headers: { 'X-CSRF-Token': form.dataset.csrfToken },
      body: file,
    });
    result.textContent = await response.text();
    if (response.ok) {
      const page = new DOMParser().parseFromString(await (await fetch('/')).text(), 'text/html');
      document.getElementById('files').replaceWith(page.getElementById('files'));
    }
  } catch {
    result.textContent = 'The upload failed. Please try again.';
  }
});
